package stdio

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// secretMark is in each 32 bytes of a secret, and so in any 64 bytes of it.
const secretMark = "n0-pl41nt3xt-"

func bigSecret(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%s%018d\n", secretMark, i)
	}
	return b.String()
}

// filesWithSecret gives the files in some folders that hold a part of a secret.
func filesWithSecret(t *testing.T, dirs ...string) (found []string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // it has gone
			}
			if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(secretMark)) {
				found = append(found, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// writesSecret reports whether a process is writing a secret below a folder: on Linux
// into a file without a name, elsewhere into a temporary file.
func writesSecret(t *testing.T, pid int, dir string) bool {
	t.Helper()
	if runtime.GOOS != "linux" {
		return len(filesWithSecret(t, dir)) > 0
	}
	open := fmt.Sprintf("/proc/%d/fd", pid)
	all, _ := os.ReadDir(open) // it may have ended
	for _, e := range all {
		path := filepath.Join(open, e.Name())
		if at, err := os.Readlink(path); err != nil || !strings.HasPrefix(at, dir) || !strings.HasSuffix(at, " (deleted)") {
			continue
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(secretMark)) {
			return true
		}
	}
	return false
}

// TestKilledClaimsLeaveNoPlaintext kills servers while they save the last copy of a
// secret. Before the next start the data directory holds no plaintext of it, nor does
// the folder on Linux. After the next start there is no incomplete file.
func TestKilledClaimsLeaveNoPlaintext(t *testing.T) {
	rounds := 10
	if testkit.CI() { // each round starts two processes
		rounds = 30
	}
	data, source := t.TempDir(), t.TempDir()
	relayURL := "http://" + testkit.MustFreeAddr(t)
	secret := bigSecret(2 << 20)
	path := filepath.Join(source, "secret.txt")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	sender := startIn(t, data, relayURL, "--allow-dir", source)
	halfFiles, caught, whole := 0, 0, 0
	took := 30 * time.Millisecond
	for round := range rounds {
		to := t.TempDir()
		target := filepath.Join(to, "sub")
		url := sender.sent(t, "send_files", fmt.Sprintf(`{"files":[{"path":%q}],"max_retrievals":1}`, path))
		s := startIn(t, data, relayURL, "--allow-dir", to)
		begun := time.Now()
		s.ask(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, url, target))
		switch {
		case round == 0: // how long it takes
			s.receive(t)
			took = time.Since(begun)
		case round%2 == 0:
			time.Sleep(time.Duration(rand.Int64N(int64(took))))
		default: // while it writes
			for time.Since(begun) < 5*time.Second && len(filesWithSecret(t, to)) == 0 {
				if writesSecret(t, s.cmd.Process.Pid, to) {
					caught++
					break
				}
				time.Sleep(100 * time.Microsecond)
			}
		}
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		s.end()
		saved := filepath.Join(target, "secret.txt")
		if found := filesWithSecret(t, data); len(found) > 0 {
			t.Errorf("round %d: the data directory holds the secret: %v", round, found)
		}
		for _, f := range filesWithSecret(t, to) {
			if f != saved {
				halfFiles++
			}
		}
		startIn(t, data, relayURL, "--allow-dir", to).end()
		for _, f := range filesWithSecret(t, data, to) {
			if b, _ := os.ReadFile(f); f != saved || string(b) != secret {
				t.Errorf("round %d: after the next start, %s holds %d bytes of the secret", round, f, len(b))
			} else {
				whole++
			}
		}
	}
	t.Logf("%d killed while they wrote, %d half files before the next start, %d files saved whole", caught, halfFiles, whole)
	if caught == 0 {
		t.Error("no process was killed while it wrote")
	}
	if runtime.GOOS == "linux" && halfFiles > 0 {
		t.Error("half files are left where the system has files without a name")
	}
}

// TestKilledShellClaimLeavesNoPlaintext does the same with claim -o. The next claim
// cleans up as the next server does.
func TestKilledShellClaimLeavesNoPlaintext(t *testing.T) {
	data, source, to := t.TempDir(), t.TempDir(), t.TempDir()
	relayURL := "http://" + testkit.MustFreeAddr(t)
	path := filepath.Join(source, "secret.txt")
	if err := os.WriteFile(path, []byte(bigSecret(2<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	sender := startIn(t, data, relayURL, "--allow-dir", source)
	shell := func(args ...string) *exec.Cmd {
		cmd := testkit.Command(t.Context(), t, append([]string{"claim", "--data-dir", data, "--relay-url", relayURL}, args...)...)
		cmd.Dir = to
		return cmd
	}
	for round := range 6 {
		url := sender.sent(t, "send_files", fmt.Sprintf(`{"files":[{"path":%q}],"max_retrievals":1}`, path))
		cmd := shell(url, "-o", "sub/") // a relative path
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); time.Since(begun) < 5*time.Second && len(filesWithSecret(t, to)) == 0 && !writesSecret(t, cmd.Process.Pid, to); {
			time.Sleep(100 * time.Microsecond)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if found := filesWithSecret(t, data); len(found) > 0 {
			t.Errorf("the data directory holds the secret: %v", found)
		}
		saved := filepath.Join(to, "sub", "secret.txt")
		if round%2 == 0 {
			startIn(t, data, relayURL).end()
		} else {
			other := sender.sent(t, "send", `{"content":"other","max_retrievals":1}`)
			if out, err := shell(other, "-o", t.TempDir()).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		for _, f := range filesWithSecret(t, data, to) {
			if f != saved {
				t.Errorf("round %d: %s is left", round, f)
			}
		}
		_ = os.Remove(saved)
	}
}
