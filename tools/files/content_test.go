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
