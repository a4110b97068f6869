package wine

import (
	"os"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// runs runs commands with what an id stands for: as a variable and as a file, scrubbed, and
// several times with one claim.
func (w *wine) runs(t *testing.T) {
	config := []string{"--data-dir", `C:\run`, "--relay-url", testkit.FreeURL(t)}
	do := func(want int, args ...string) string {
		t.Helper()
		cmd := w.run(t, w.exe, append(config, args...)...)
		file, err := os.CreateTemp(t.TempDir(), "") // a pipe would stay open in what Wine starts
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		cmd.Stdout, cmd.Stderr = file, file
		_ = cmd.Run()
		out, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Fatalf("%q: exit code %d, want %d: %s", args, code, want, out)
		}
		return strings.ReplaceAll(string(out), "\r\n", "\n")
	}
	send := func() string {
		t.Helper()
		id, _, _ := strings.Cut(do(0, "send", "--handle", "--max-retrievals", "1", "--text", "correct horse"), "\n")
		return id
	}
	id := send()
	if out := do(7, "run", "--env", "P="+id, "--file", "k.txt="+id, "--", "cmd", "/c", `type %KUBBI_FILES%\k.txt & if "%P%"=="correct horse" exit 7`); out != "[P]" && out != "[k.txt]" {
		t.Errorf("output %q", out)
	}
	do(3, "run", "--env", "P="+id, "--", "cmd", "/c", "exit 0")
	id = send()
	for _, keep := range [][]string{{"--keep", "1h"}, nil} {
		args := append(append([]string{"run"}, keep...), "--env", "P="+id, "--", "cmd", "/c", "echo value %P%")
		if out := do(0, args...); !strings.Contains(out, "value [P]") {
			t.Errorf("output %q", out)
		}
	}
	if out := do(0, "run", "--forget"); !strings.Contains(out, "1 claim forgotten") {
		t.Errorf("output %q", out)
	}
	do(3, "run", "--env", "P="+id, "--", "cmd", "/c", "exit 0")
}
