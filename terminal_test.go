//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"kubbi-mcp/internal/testkit"
)

// terminal is a pseudo terminal with a command on it.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File // kept open, to look at its mode
	cmd    *exec.Cmd
	before *term.State

	mu     sync.Mutex
	shown  bytes.Buffer
	exited chan error
}

// onTerminal starts a command with a terminal as standard input, output and error, in
// an environment of its own.
func onTerminal(t *testing.T, size pty.Winsize, args ...string) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	if err := pty.Setsize(slave, &size); err != nil {
		t.Fatal(err)
	}
	before, err := term.GetState(int(slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	t.Cleanup(cancel)
	x := &terminal{t: t, master: master, slave: slave, before: before, exited: make(chan error, 1)}
	x.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	x.cmd.Env = terminalEnv(t)
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			x.mu.Lock()
			x.shown.Write(buf[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() { x.exited <- x.cmd.Wait() }()
	return x
}

// terminalEnv has a data directory that a test's commands share.
func terminalEnv(t *testing.T) []string {
	dir, ok := terminalDirs.Load(t.Name())
	if !ok {
		dir = t.TempDir()
		terminalDirs.Store(t.Name(), dir)
	}
	home := dir.(string)
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TERM=xterm-256color", "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8",
		"KUBBI_DATA_DIR=" + filepath.Join(home, "data"), "KUBBI_RELAY_URL=http://127.0.0.1:7117",
	}
}

var terminalDirs sync.Map

// screen is everything that the terminal has shown.
func (x *terminal) screen() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()
}

// await waits until the screen matches, and returns the match.
func (x *terminal) await(pattern string) []string {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(5 * time.Millisecond) {
		if found := re.FindStringSubmatch(x.screen()); found != nil {
			return found
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("%q is not shown:\n%q", pattern, x.screen())
		}
	}
}

// awaitRead waits until the program has read what was typed.
func (x *terminal) awaitRead() {
	x.t.Helper()
	testkit.Await(x.t, "the program to read what was typed", func() bool {
		fds := []unix.PollFd{{Fd: int32(x.slave.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 0
	})
}

func (x *terminal) typing(text string) {
	x.t.Helper()
	if _, err := io.WriteString(x.master, text); err != nil {
		x.t.Fatal(err)
	}
}

// exits waits for the end of the command, and checks its exit code and the terminal's
// mode.
func (x *terminal) exits(code int) {
	x.t.Helper()
	select {
	case <-x.exited:
	case <-time.After(testkit.Patience):
		x.t.Fatalf("still running:\n%q", x.screen())
	}
	if got := x.cmd.ProcessState.ExitCode(); got != code {
		x.t.Errorf("exit code %d, want %d:\n%q", got, code, x.screen())
	}
	after, err := term.GetState(int(x.slave.Fd()))
	if err != nil {
		x.t.Fatal(err)
	}
	if *after != *x.before {
		x.t.Errorf("the terminal is left in another mode: %+v, was %+v", *after, *x.before)
	}
}

// run runs kubbi-mcp without a terminal and gives its output.
func run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	cmd.Env, cmd.Stdin = terminalEnv(t), strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		var said []byte
		if e, ok := err.(*exec.ExitError); ok {
			said = e.Stderr
		}
		t.Fatalf("%v: %v\n%s", args, err, said)
	}
	return string(out)
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("kubbi-mcp")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var wide = pty.Winsize{Rows: 24, Cols: 120}

const asked = `Text to send`

// TestPrompt enters a text at a hidden prompt.
func TestPrompt(t *testing.T) {
	long := strings.Repeat("0123456789", 900) // more than a terminal's own line holds
	for _, c := range []struct{ name, typed, want string }{
		{"typed", "pass word\r", "pass word"},
		{"line feed", "secret\n", "secret"},
		{"mended", "secrex\x7ft\r", "secret"},
		{"long", long + "\r", long},
		{"pasted lines", "\x1b[200~-----BEGIN-----\rc2VjcmV0\r-----END-----\r\x1b[201~\r", "-----BEGIN-----\nc2VjcmV0\n-----END-----\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := onTerminal(t, wide, binary(t), "send", "--max-retrievals", "1", "--ttl", "10m")
			x.await(asked)
			x.typing(c.typed)
			url := x.await(`http://127\.0\.0\.1:7117/r/[-_A-Za-z0-9]{43}`)[0]
			x.exits(0)
			for line := range strings.SplitSeq(c.want, "\n") {
				if line != "" && strings.Contains(x.screen(), line) {
					t.Errorf("the text is shown:\n%q", x.screen())
				}
			}
			if got := run(t, "", "claim", url); got != c.want {
				t.Errorf("sent %.60q, want %.60q", got, c.want)
			}
		})
	}
}

// TestPromptSendsNothing ends a prompt in other ways. Nothing is sent, no text is
// shown, and the terminal has its mode again.
func TestPromptSendsNothing(t *testing.T) {
	for _, c := range []struct {
		name, typed string
		signal      os.Signal
		code        int
		says        string
	}{
		{"ctrl-c", "secret\x03", nil, 130, "interrupted"},
		{"interrupt", "secret", os.Interrupt, 130, "interrupted; nothing was sent"},
		{"terminate", "secret", syscall.SIGTERM, 130, "interrupted; nothing was sent"},
		{"empty", "\r", nil, 2, "nothing to send"},
		{"end of input", "\x04", nil, 2, "nothing to send"},
		{"lines", "secret\rrm -rf secret\r", nil, 2, "more than one line"},
		{"arrow", "secret\x1b[D\r", nil, 2, "no character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := onTerminal(t, wide, binary(t), "send")
			x.await(asked)
			x.typing(c.typed)
			if c.signal != nil {
				x.awaitRead()
				if err := x.cmd.Process.Signal(c.signal); err != nil {
					t.Fatal(err)
				}
			}
			x.exits(c.code)
			x.await(c.says)
			if strings.Contains(x.screen(), "secret") || strings.Contains(x.screen(), "/r/") {
				t.Errorf("shown:\n%q", x.screen())
			}
			if got := run(t, "", "list", "--json"); !strings.Contains(got, `"total": 0`) {
				t.Errorf("sent: %s", got)
			}
		})
	}
}

// TestPromptInSubstitution types the README's example into a shell. The text is neither
// on the screen nor in the shell's history.
func TestPromptInSubstitution(t *testing.T) {
	x := onTerminal(t, wide, shell(t, "bash"), "--norc", "--noprofile", "-i")
	x.await(`bash-\S+[#$] `)
	x.typing("url=$(kubbi-mcp send --max-retrievals 1 --ttl 10m)\r")
	x.await(asked)
	x.typing("hunter2 secret\r")
	x.await(`(?s)bash-\S+[#$] .*bash-\S+[#$] `)
	x.typing("echo \"<$url>\"; history\r")
	url := x.await(`<(http://\S+/r/\S+)>`)[1]
	x.await(`\d+  echo "<\$url>"; history`)
	x.typing("exit 0\r")
	x.exits(0)
	if strings.Contains(x.screen(), "hunter2") {
		t.Errorf("the text is shown:\n%s", x.screen())
	}
	if got := run(t, "", "claim", url); got != "hunter2 secret" {
		t.Errorf("sent %q", got)
	}
}

// TestAnswerOnTerminal answers a request at a terminal: it shows who asks for what, and no
// secret.
func TestAnswerOnTerminal(t *testing.T) {
	request := func() (url, id, fingerprint string) {
		var out struct {
			URL         string `json:"request_url"`
			ID          string `json:"request_id"`
			Fingerprint string `json:"fingerprint"`
		}
		asked := run(t, "", "request", "--json", "--field", "STRIPE_KEY", "--text-field", "PEM", "--plain-field", "ACCOUNT", "--message", "for the \u202epayment tests\nof today")
		if err := json.Unmarshal([]byte(asked), &out); err != nil {
			t.Fatal(err)
		}
		return out.URL, out.ID, out.Fingerprint
	}
	url, id, fingerprint := request()
	x := onTerminal(t, wide, binary(t), "answer", url)
	x.await(`asked by +http://127\.0\.0\.1:7117\r\nmessage +for the \\u202epayment tests of today\r\nfingerprint +` + fingerprint)
	x.await(`field +ACCOUNT \(shown to the agent that asks\)`)
	x.await(`STRIPE_KEY \(not shown; Enter ends it\): `)
	x.typing("sk_live_secret\r")
	x.await(`PEM \(not shown; paste it if it has several lines; Enter ends it\): `)
	x.typing("\x1b[200~-----BEGIN secret\r-----END secret\x1b[201~\r")
	x.await(`ACCOUNT \(Enter ends it\): `)
	x.typing("accr\x7ft_1\r")
	x.await(`ACCOUNT \(Enter ends it\): acct_1`)
	x.await(`sent, sealed for ` + fingerprint)
	x.exits(0)
	if strings.Contains(x.screen(), "secret\r") || strings.Contains(x.screen(), "sk_live") {
		t.Errorf("a secret is shown:\n%q", x.screen())
	}
	got := run(t, "", "run", "--no-scrub", "--env-from", id, "--", "printenv", "STRIPE_KEY", "PEM", "ACCOUNT")
	if want := "sk_live_secret\n-----BEGIN secret\n-----END secret\nacct_1\n"; got != want {
		t.Errorf("the answer is %q, want %q", got, want)
	}

	url, id, _ = request()
	x = onTerminal(t, wide, binary(t), "answer", url)
	x.await(`STRIPE_KEY \(not`)
	x.typing("sk_live_secret\r")
	x.await(`PEM \(not`)
	x.typing("\x03")
	x.exits(130)
	x.await(`interrupted; nothing was sent`)
	if got := run(t, "", "get", id); !strings.Contains(got, "pending") {
		t.Errorf("answered: %s", got)
	}
}

// TestListOnTerminal checks a list on terminals of several widths, in the time zone of
// Japan.
func TestListOnTerminal(t *testing.T) {
	metadata := `{"from":"build 7 on the large machine", "text":"` + strings.Repeat("very ", 20) + "long \u202e\"}"
	var sent struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(run(t, "", "send", "--json", "--metadata", metadata, "--ttl", "1h", "a text")), &sent); err != nil {
		t.Fatal(err)
	}
	clock := time.Now().In(time.FixedZone("", 9*60*60)).Format("15:")
	for columns, want := range map[uint16]string{
		40:  sent.ID + "\r\n  active in 59m, text, 0 of any\r\n  {\"from\":",
		80:  sent.ID + `  active  text     0 of any  in 59m\r\n  {"from":`,
		140: sent.ID + `  active  text     0 of any  ` + clock + `\d\d    in 59m   {"from":`,
	} {
		x := onTerminal(t, pty.Winsize{Rows: 24, Cols: columns}, binary(t), "list")
		x.exits(0)
		x.await(want)
		for line := range strings.SplitSeq(x.screen(), "\r\n") {
			if n := utf8.RuneCountInString(line); n > int(columns) {
				t.Errorf("a line of %d columns on a terminal of %d: %q", n, columns, line)
			}
		}
		if strings.Contains(x.screen(), "\u202e") {
			t.Error("metadata turns the line round")
		}
	}
	x := onTerminal(t, wide, binary(t), "list", "--status", "burned,deleted")
	x.exits(0)
	x.await(`page 1 of 0, 0 kubbis in all`)
}

// TestReadmeShell runs the README's shell examples on a terminal, unchanged.
func TestReadmeShell(t *testing.T) {
	bash := shell(t, "bash")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)## From the shell\n\n```sh\n(.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md has no examples for the shell")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"report.md": "# Report", "images/chart.png": "\x89PNG\x00", "src/main.c": "main;"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := "set -e -o pipefail; cd " + dir + "\n" + string(block[1])
	x := onTerminal(t, pty.Winsize{Rows: 50, Cols: 80}, bash, "--norc", "-c", script)
	x.await(asked)
	x.typing("the password\r")
	x.exits(0)
	x.await(`retrievals +0 so far, 1 retrieval left`)
	x.await(`the password\r\n`)
	x.await(`inbox/report.md\r\ninbox/chart.png\r\n`)
	x.await(`ID +STATUS`)
	if b, err := os.ReadFile(filepath.Join(dir, "inbox", "chart.png")); err != nil || string(b) != "\x89PNG\x00" {
		t.Errorf("inbox: %q, %v", b, err)
	}
}
