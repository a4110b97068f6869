package files

import "testing"

func TestContentType(t *testing.T) {
	for _, tt := range []struct {
		name   string
		binary bool
		want   string
	}{
		{"a.TXT", false, "text/plain"},
		{"a.md", false, "text/markdown"},
		{"a.tar.gz", true, "application/gzip"},
		{"Makefile", false, "text/plain"},
		{"core", true, "application/octet-stream"},
		{"a.no-such-ending", true, "application/octet-stream"},
		{"photo.JPEG", true, "image/jpeg"},
		{"a.wasm", true, "application/wasm"}, // from the mime package
		{"page.htm", false, "text/html"},
	} {
		if got := ContentType(tt.name, tt.binary); got != tt.want {
			t.Errorf("ContentType(%q, %v) = %q, want %q", tt.name, tt.binary, got, tt.want)
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
