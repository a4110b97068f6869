package testkit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"kubbi-mcp/internal/flock"
	"kubbi-mcp/kubbi/api"
)

// Program builds kubbi-mcp and returns its path.
func Program(t testing.TB) string {
	t.Helper()
	path, err := BuildProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// BuildProgram builds kubbi-mcp, with the race detector if the test has it, and returns
// its path. All test binaries of a checkout share one file in the user's
// cache folder, or in KUBBI_TEST_CACHE, so that the linker runs once for all packages.
var BuildProgram = sync.OnceValues(func() (string, error) {
	root, err := findRoot()
	if err != nil {
		return "", err
	}
	cache := os.Getenv("KUBBI_TEST_CACHE")
	if cache == "" {
		if cache, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(cache, "kubbi-mcp-test", fmt.Sprintf("%x", sha256.Sum256([]byte(root)))[:16])
	args := []string{"build"}
	if Racing() {
		args, dir = append(args, "-race"), dir+"-race"
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubbi-mcp")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := flock.Block(lock); err != nil {
		return "", err
	}
	cmd := exec.Command("go", append(args, "-o", path, ".")...) // does nothing if the file is up to date
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// Racing reports whether the test runs with the race detector.
func Racing() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

// Command is kubbi-mcp with a home folder of its own and without this process's
// KUBBI_ variables.
func Command(ctx context.Context, t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, Program(t), args...)
	cmd.Env = append(Environ(), "HOME="+home, "XDG_DATA_HOME="+home)
	return cmd
}

// Environ is this process's environment without KUBBI_ variables.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KUBBI_") })
}

// Run runs kubbi-mcp to its end with these variables in place of this process's
// KUBBI_ variables.
func Run(t testing.TB, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Program(t), args...)
	cmd.Env = append(Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// StartRelay starts kubbi-mcp and waits until a relay answers at a URL. It stops the
// program at the end of the test, and returns its log.
func StartRelay(ctx context.Context, t testing.TB, url string, args ...string) *Log {
	t.Helper()
	cmd := Command(context.WithoutCancel(ctx), t, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := &Log{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // ends serve
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", args[0], err, stderr)
		}
	})
	WaitHealthy(ctx, t, url+api.PathHealth)
	return stderr
}

// Log collects a program's log while the program runs. After 4 MiB it keeps
// warnings and errors only.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 4<<20 && (bytes.Contains(b, []byte(`"level":"DEBUG"`)) || bytes.Contains(b, []byte(`"level":"INFO"`))) {
		return len(b), nil
	}
	return l.b.Write(b)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Answer answers a request of a relay on loopback with a value, as a person does with the
// shell. It has a data directory of its own. It may run in a goroutine of its own.
func Answer(t testing.TB, requestURL, value string) {
	t.Helper()
	u, err := url.Parse(requestURL)
	if err != nil {
		t.Errorf("answer: %v", err)
		return
	}
	cmd := exec.CommandContext(t.Context(), Program(t), "answer", requestURL)
	cmd.Env = append(Environ(), "KUBBI_DATA_DIR="+t.TempDir(), "KUBBI_RELAY_URL="+u.Scheme+"://"+u.Host)
	cmd.Stdin = strings.NewReader(value)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("answer: %v: %s", err, out)
	}
}
