//go:build unix

package main

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"kubbi-mcp/internal/testkit"
)

// TestRunOnTerminal runs a command on a terminal: it has one of its own, of the same
// size, Ctrl-C is its own, and what it prints is scrubbed.
func TestRunOnTerminal(t *testing.T) {
	url := strings.TrimSpace(run(t, "correct horse battery", "send"))
	x := onTerminal(t, pty.Winsize{Rows: 33, Cols: 77}, binary(t), "run", "--env", "P="+url, "--", "sh", "-c",
		`trap 'echo "interrupted once"; exit 9' INT; test -t 0 && test -t 1 && test -t 2 && stty size; echo "value: $P"; read line; echo "line: $line"; while :; do sleep 0.02; stty size; done`)
	x.await(`33 77`)
	x.await(`value: \[P\]`)
	x.typing("typed\r")
	x.await(`line: typed`)
	if err := pty.Setsize(x.slave, &pty.Winsize{Rows: 20, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	x.await(`20 60`)
	x.typing("\x03")
	x.await(`interrupted once`)
	x.exits(9)
	if strings.Contains(x.screen(), "correct horse") {
		t.Errorf("shown:\n%q", x.screen())
	}
}

// TestRunInterruptedOnce presses Ctrl-C where the output is a file, so that the command
// is on the same terminal: it gets the signal of the terminal, and not a second one.
func TestRunInterruptedOnce(t *testing.T) {
	url := strings.TrimSpace(run(t, "a secret", "send"))
	dir := t.TempDir()
	x := onTerminal(t, wide, shell(t, "bash"), "--norc", "-c", `cd "$1"; exec kubbi-mcp run --env P=$0 -- sh -c 'trap "echo got [$P]" INT; echo ready; while ! test -e stop; do sleep 0.02; done' > out`, url, dir)
	out := func() string {
		b, _ := os.ReadFile(filepath.Join(dir, "out"))
		return string(b)
	}
	testkit.Await(t, "the command to start", func() bool { return out() == "ready\n" })
	x.typing("\x03")
	testkit.Await(t, "the signal", func() bool { return strings.Contains(out(), "got") })
	time.Sleep(200 * time.Millisecond) // in which another one would come
	if err := os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	x.exits(0)
	if got := out(); got != "ready\ngot [[P]]\n" {
		t.Errorf("output %q", got)
	}
}

// TestRunInterrupted sends signals to the program itself. Each reaches the command, also
// the second one, and the command decides what happens.
func TestRunInterrupted(t *testing.T) {
	url := strings.TrimSpace(run(t, "a secret", "send"))
	dir, env := t.TempDir(), terminalEnv(t)
	for name, signal := range map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1} {
		t.Run(name, func(t *testing.T) {
			var stdout testkit.Log
			started := filepath.Join(dir, name)
			cmd := exec.Command(binary(t), "run", "--file", "key="+url, "--", "sh", "-c",
				`n=0; trap 'n=$((n+1)); echo "signal $n"; test $n = 2 && exit 5' `+name+`; echo "$KUBBI_FILES"; : > "$0"; while :; do sleep 0.02; done`, started)
			cmd.Env, cmd.Stdout, cmd.Stderr = env, &stdout, os.Stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal of the tests would send its own
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // where the test has failed
			testkit.Await(t, "the command to start", func() bool { _, err := os.Stat(started); return err == nil })
			for _, want := range []string{"signal 1", "signal 2"} {
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				testkit.Await(t, want, func() bool { return strings.Contains(stdout.String(), want) })
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 5 {
				t.Errorf("exit code %d, want 5", code)
			}
			folder, _, _ := strings.Cut(stdout.String(), "\n")
			if _, err := os.Stat(folder); folder == "" || !os.IsNotExist(err) {
				t.Errorf("the folder %q: %v", folder, err)
			}
		})
	}
}

// TestRunReaderGone ends the reader of the output. The command gets the signal of a
// closed pipe, as without kubbi-mcp between, and its files are wiped.
func TestRunReaderGone(t *testing.T) {
	url := strings.TrimSpace(run(t, "a secret", "send"))
	folder := filepath.Join(t.TempDir(), "folder")
	cmd := exec.Command(shell(t, "bash"), "-c", `kubbi-mcp run --file key=$0 -- sh -c 'echo "$KUBBI_FILES" > $0; exec yes' $1 | head -1; exit ${PIPESTATUS[0]}`, url, folder)
	cmd.Env = terminalEnv(t)
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGPIPE) || string(out) != "y\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	b, err := os.ReadFile(folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(b))); !os.IsNotExist(err) {
		t.Errorf("the files are left: %v", err)
	}
}

// TestRunLeavesProcessBehind ends although a process that the command started holds its
// output open.
func TestRunLeavesProcessBehind(t *testing.T) {
	url := strings.TrimSpace(run(t, "a secret", "send"))
	pid := filepath.Join(t.TempDir(), "pid")
	out := run(t, "", "run", "--env", "P="+url, "--", "sh", "-c", `sleep 600 & echo $! > "$0"; echo "done $P"`, pid)
	if out != "done [P]\n" {
		t.Errorf("output %q", out)
	}
	b, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("kill", strings.TrimSpace(string(b))).Run(); err != nil {
		t.Errorf("the process is not running any more: %v", err)
	}
}

// TestRunKeepsOrder writes both outputs into one file, whose lines keep their order.
func TestRunKeepsOrder(t *testing.T) {
	url := strings.TrimSpace(run(t, "a secret", "send"))
	cmd := exec.Command(binary(t), "run", "--env", "P="+url, "--", "sh", "-c", `for i in 1 2 3 4 5 6 7 8 9; do echo "out $i"; echo "err $i" >&2; done`)
	cmd.Env = terminalEnv(t)
	out, err := cmd.CombinedOutput()
	want := ""
	for _, i := range "123456789" {
		want += "out " + string(i) + "\nerr " + string(i) + "\n"
	}
	if err != nil || string(out) != want {
		t.Errorf("%v: %q", err, out)
	}
}

// TestRunCanary looks for a value everywhere but with the command: in log lines, in the
// arguments of all processes, and in every file that is left. The command itself finds it
// where it should be.
func TestRunCanary(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	const canary = "canary-7f3a9c51e2/bird"
	env := terminalEnv(t)
	url := strings.TrimSpace(run(t, canary, "send"))
	var stdout, stderr testkit.Log
	done := filepath.Join(t.TempDir(), "done")
	cmd := exec.Command(binary(t), "--log-level", "debug", "run", "--env", "P="+url, "--file", "key="+url, "--", "sh", "-c",
		`test "$P" = "$(cat "$1")" && echo "ready $P $KUBBI_FILES"; env; cat "$1" >&2; while ! test -e "$0"; do sleep 0.02; done`, done, "{key}")
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM) }) // where the test has failed
	testkit.Await(t, "the command to print", func() bool {
		return strings.Contains(stdout.String(), "\nP=[P]") && strings.Contains(stderr.String(), "[P]") // both have one value, and the first name stands for it
	})
	folder := strings.Fields(strings.SplitN(stdout.String(), "\n", 2)[0])[2]
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatalf("no arguments: %v", err)
	}
	seen := false
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		seen = seen || bytes.Contains(b, []byte(folder+"/key"))
		if holds(b, canary) {
			t.Errorf("%s holds the value", path)
		}
	}
	if !seen {
		t.Error("the path of the file is in no argument")
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
	for what, text := range map[string]string{"stdout": stdout.String(), "stderr": stderr.String()} {
		if text == "" || holds([]byte(text), canary) {
			t.Errorf("%s: %q", what, text)
		}
	}
	home := ""
	for _, v := range env {
		if name, value, _ := strings.Cut(v, "="); name == "HOME" {
			home = value
		}
	}
	files := 0
	err = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if files++; err == nil && holds(b, canary) {
			t.Errorf("%s holds the value", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// holds tells whether a text holds a value, as it is or in base64.
func holds(text []byte, value string) bool {
	return bytes.Contains(text, []byte(value)) || bytes.Contains(text, []byte(base64.RawStdEncoding.EncodeToString([]byte(value))[:16]))
}

// BenchmarkRun compares how fast output goes through with cat, which does nothing to it.
func BenchmarkRun(b *testing.B) {
	path := filepath.Join(b.TempDir(), "output")
	line := "2026-11-29T07:00:00Z INFO request done method=GET path=/api/v1/things status=200 took=1.2ms\n"
	const size = 256 << 20
	if err := os.WriteFile(path, []byte(strings.Repeat(line, size/len(line))), 0o600); err != nil {
		b.Fatal(err)
	}
	env := append(os.Environ(), "KUBBI_DATA_DIR="+b.TempDir())
	var urls []string
	for _, value := range []string{"correct horse battery staple", "hunter2"} {
		send := exec.Command("kubbi-mcp", "send", value)
		send.Env = env
		url, err := send.Output()
		if err != nil {
			b.Fatal(err)
		}
		urls = append(urls, strings.TrimSpace(string(url)))
	}
	for name, command := range map[string]string{
		"cat":             `cat "$0" "$0" "$0" "$0" | cat > /dev/null`,
		"run/long value":  `kubbi-mcp run --env P=$1 -- cat "$0" "$0" "$0" "$0" > /dev/null`,
		"run/short value": `kubbi-mcp run --env P=$2 -- cat "$0" "$0" "$0" "$0" > /dev/null`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(4 * size)
			for b.Loop() {
				cmd := exec.Command("sh", append([]string{"-c", command, path}, urls...)...)
				cmd.Env = env
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
		})
	}
}
