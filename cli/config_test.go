package cli

import (
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	for _, c := range []Config{{MaxContent: 0, MaxPackage: 1}, {MaxContent: 1, MaxPackage: maxSize + 1}} {
		if err := c.validateLimits(); err == nil || !strings.Contains(err.Error(), "--max-") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	l := (&Config{MaxContent: 7, MaxPackage: 1 << 20}).limits()
	if l.ContentBytes != 7 || l.PackageBytes != 1<<20 || l.Files == 0 {
		t.Errorf("limits %+v", l)
	}
	if got := answerLimit(l); got < 2<<20 {
		t.Errorf("an answer may have %d bytes", got)
	}
}

// A prefix that the tools refuse is a usage error that names the flag.
func TestToolPrefix(t *testing.T) {
	for _, prefix := range []string{"a.b", strings.Repeat("p", 33)} {
		_, err := runIn(t, map[string]string{"KUBBI_DATA_DIR": t.TempDir()}, "serve", "--relay-url", "http://127.0.0.1:7939", "--tool-prefix", prefix)
		if err == nil || ExitCode(err) != 2 || !strings.Contains(Message(err), "--tool-prefix") {
			t.Errorf("prefix %q: exit code %d, %v", prefix, ExitCode(err), err)
		}
	}
}
