package systemtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// patience ends a wait for another process that will never be over.
const patience = 5 * time.Minute

var (
	built      sync.Once
	builtDir   string
	binaryPath string
)

func TestMain(m *testing.M) {
	code := m.Run()
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// binary builds the program as a user does, without the race detector, once for
// all tests.
func binary(t *testing.T) string {
	t.Helper()
	testkit.OnlyPlain(t, "the program is built without the race detector")
	built.Do(func() {
		dir, err := os.MkdirTemp("", "kubbi-systemtest-")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "kubbi-mcp")
		if runtime.GOOS == "windows" {
			path += ".exe"
		}
		cmd := exec.Command("go", "build", "-o", path, ".")
		cmd.Dir = ".."
		builtDir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go build: %v\n%s", err, out)
			return
		}
		binaryPath = path
	})
	if binaryPath == "" {
		t.Fatal("the program does not build")
	}
	return binaryPath
}

// freeOrigin is an origin on loopback at which nothing listens.
func freeOrigin(t *testing.T) string {
	t.Helper()
	return "http://" + testkit.MustFreeAddr(t)
}

// bareEnv is an environment with the variables given and no others of this
// process but PATH: no key, no proxy and no host's settings reach what runs in
// it. Its home is new.
func bareEnv(t *testing.T, variables ...string) []string {
	t.Helper()
	env := append([]string{"HOME=" + t.TempDir(), "NO_PROXY=127.0.0.1", "NO_COLOR=1"}, variables...)
	for _, v := range env {
		if len(v) > 5 && v[:5] == "PATH=" {
			return env
		}
	}
	return append(env, "PATH="+os.Getenv("PATH"))
}
