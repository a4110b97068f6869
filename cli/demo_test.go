package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemoPrinter prints a demo with a check that does not hold.
func TestDemoPrinter(t *testing.T) {
	var out bytes.Buffer
	s := &demoPrinter{app: &app{stdout: &out, getenv: func(string) string { return "" }}}
	s.step("A", "does %s", "\x1b[2Jharm")
	s.check(true, "one holds")
	s.check(false, "one does not")
	s.check(true, "a later one holds")
	s.end()
	if s.err == nil || !strings.Contains(s.err.Error(), "one does not") {
		t.Errorf("error: %v", s.err)
	}
	for _, want := range []string{"ok one holds", "WRONG: not so: one does not", `does \u001b[2Jharm`, "Something was not as it should be."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "checks hold") {
		t.Errorf("the output ends well:\n%s", out.String())
	}
}

// The error of an agent in the demo ends with the end of its server's log.
func TestDemoServerError(t *testing.T) {
	var log strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&log, "line %d\n", i)
	}
	ag := &agent{name: "A", stderr: filepath.Join(t.TempDir(), "stderr")}
	if err := os.WriteFile(ag.stderr, []byte(log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	text := ag.serverError("call", errors.New("broke")).Error()
	if len(text) > 5<<10 || !strings.Contains(text, "broke") || !strings.HasSuffix(text, "line 2999") {
		t.Errorf("%d bytes, ending in %q", len(text), text[max(0, len(text)-20):])
	}
}
