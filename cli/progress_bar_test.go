package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestBar(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		want        string
	}{
		{0, 100 << 20, "[" + strings.Repeat(" ", 30) + "]   0%  0 bytes of 100.0 MiB sent, 0 bytes/s"},
		{50 << 20, 100 << 20, "[" + strings.Repeat("=", 15) + strings.Repeat(" ", 15) + "]  50%  50.0 MiB of 100.0 MiB sent, 25.0 MiB/s"},
		{100 << 20, 100 << 20, "[" + strings.Repeat("=", 30) + "] 100%  100.0 MiB of 100.0 MiB sent, 50.0 MiB/s"},
		{2 << 10, 0, "2.0 KiB sent, 1.0 KiB/s"},
		{3 << 10, 2 << 10, "3.0 KiB sent, 1.5 KiB/s"},
	} {
		if got := barLine("sent", c.done, c.total, 2*time.Second); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.done, c.total, got, c.want)
		}
	}
	var out bytes.Buffer
	b := &bar{w: &out, verb: "sent", start: time.Now().Add(-time.Second)}
	b.progress(1, 2)
	b.progress(2, 2)
	b.end()
	if got := out.String(); strings.Count(got, "\r") != 3 || !strings.HasSuffix(got, "\r\x1b[K") || strings.Contains(got, "\n") {
		t.Errorf("drawn: %q", got)
	}
	quiet := &bar{start: time.Now().Add(-time.Second)}
	quiet.progress(1, 2)
	quiet.end()
}
