package stdio

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/tools"
)

// TestAnswerThatNobodyReads claims kubbis in hosts that end at different moments
// without reading the answer. The next server of the same data directory gets the
// payload with a plain claim, and both claims count once.
func TestAnswerThatNobodyReads(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals; the tests under wine end processes there")
	}
	step := 3
	if testkit.CI() { // each round starts two processes
		step = 1
	}
	data, relay := t.TempDir(), testkit.FreeURL(t)
	sender := startIn(t, data, relay)
	payload := strings.Repeat("0123456789abcdef", 1800) // fits into an answer and into a pipe
	for name, end := range map[string]func(t *testing.T, s *session, wait time.Duration){
		"the host goes away": func(_ *testing.T, s *session, wait time.Duration) {
			time.Sleep(wait)
			s.end()
		},
		"SIGTERM": func(t *testing.T, s *session, wait time.Duration) {
			time.Sleep(wait)
			if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			s.end()
		},
		"kill -9": func(t *testing.T, s *session, wait time.Duration) {
			time.Sleep(wait)
			if err := s.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			s.end()
		},
		"a slow reader that ends half way": func(t *testing.T, s *session, wait time.Duration) {
			time.Sleep(wait)
			if _, err := io.ReadFull(s.stdout, make([]byte, 4000)); err != nil {
				t.Fatal(err)
			}
			if err := s.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			s.end()
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i := 0; i < 12; i += step {
				url := sender.sent(t, "send", fmt.Sprintf(`{"content":%q,"max_retrievals":1}`, payload))
				args := fmt.Sprintf(`{"claim_url":%q}`, url)
				first := startIn(t, data, relay)
				first.ask(t, "claim", args)
				end(t, first, time.Duration(i)*time.Duration(i)*time.Millisecond)

				second := startIn(t, data, relay)
				res := second.callRaw(t, "claim", args)
				if _, got, _ := tools.ReadClaim(res.Content[0].Text); res.IsError || got != payload {
					t.Fatalf("round %d: claimed %.300s", i, res.json)
				}
				if res := second.callRaw(t, "claim", args); !res.IsError || !strings.Contains(res.Content[0].Text, "again: true") {
					t.Errorf("round %d: claimed twice: %.300s", i, res.json)
				}
				second.end()
			}
		})
	}
}

// TestReceivedFolder checks that only the owner can read the server's own folder.
func TestReceivedFolder(t *testing.T) {
	data, relay := t.TempDir(), testkit.FreeURL(t)
	s := startIn(t, data, relay)
	url := s.sent(t, "send", `{"content":"s3cr3t","max_retrievals":1}`)
	saved := savedFiles(t, s.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":"received"}`, url)).Content[0].Text)
	path := saved["content.txt"]
	if b, err := os.ReadFile(path); err != nil || string(b) != "s3cr3t" {
		t.Fatalf("%s holds %q, %v", path, b, err)
	}
	for at := path; at != data; at = at[:strings.LastIndexByte(at, os.PathSeparator)] {
		if info, err := os.Stat(at); err != nil || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", at, info.Mode(), err)
		}
	}
}
