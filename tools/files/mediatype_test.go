package files

import (
	"strings"
	"testing"
)

func TestTypeByName(t *testing.T) {
	for name, want := range map[string]string{
		"a.TXT": "text/plain", "a.md": "text/markdown", "a.tar.gz": "application/gzip", "photo.JPEG": "image/jpeg", "page.htm": "text/html",
		"a.wasm":   "application/wasm", // from the mime package
		"Makefile": "", "a.no-such-ending": "",
	} {
		if got := TypeByName(name); got != want {
			t.Errorf("TypeByName(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestSingle has the types and names of single contents.
func TestSingle(t *testing.T) {
	for name, want := range map[string][2]string{
		"a.json": {"application/json", "content.json"}, "README.MD": {"text/markdown", "content.md"}, "a.csv": {"text/csv", "content.csv"},
		"a.txt": {"text/plain", "content.txt"}, "a.html": {"text/plain", "content.txt"}, "Makefile": {"text/plain", "content.txt"},
	} {
		contentType := SingleType(name)
		if got := [2]string{contentType, SingleName(contentType)}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A machine's own table may have another type for an extension.
func TestTextIsNoMedia(t *testing.T) {
	for typ, want := range map[string]bool{
		"audio/x-mod": true, "video/mp2t": true, "image/x-xpixmap": true,
		"image/svg+xml": false, "text/x-go": false, "application/json": false,
	} {
		if got := isMedia(typ); got != want {
			t.Errorf("isMedia(%q) = %v", typ, got)
		}
	}
	for name, want := range map[string]string{"go.mod": "text/plain", "a.svg": "image/svg+xml"} {
		if got := typeOf(name, true, []byte("module m\n")); got != want {
			t.Errorf("typeOf(%q) of text = %q, want %q", name, got, want)
		}
	}
}

// TestDetect reads files of more than one piece, with characters that lie across the border of
// two pieces.
func TestDetect(t *testing.T) {
	long := strings.Repeat("€", 50_000) // of three bytes each
	for name, tt := range map[string]struct {
		file, content string
		want          Content
	}{
		"empty":           {"a", "", Content{true, "text/plain"}},
		"text":            {"a", long, Content{true, "text/plain"}},
		"text by name":    {"a.md", "x" + long, Content{true, "text/markdown"}},
		"a cut character": {"a", long[:len(long)-1], Content{false, "application/octet-stream"}},
		"not UTF-8":       {"a", "x\xff" + long, Content{false, "application/octet-stream"}},
		"a zero byte":     {"a", long + "\x00", Content{false, "application/octet-stream"}},
		"an image":        {"a", "\x89PNG\r\n\x1a\n\x00\x00", Content{false, "image/png"}},
	} {
		got, err := Detect(tt.file, strings.NewReader(tt.content))
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, tt.want)
		}
	}
}
