// Package testkit holds what the tests of several packages need.
package testkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// FreeAddr gives an address of this machine at which nobody listens. Its port
// is none that the system gives away by itself, to outgoing connections and to
// listeners without a wish: one of these could take it before, or while, the
// program that it is meant for does not listen.
func FreeAddr() (string, error) {
	for try := 0; ; try++ {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
		if try == 100 {
			return "", fmt.Errorf("find a free port: %w", err)
		}
	}
}

// MustFreeAddr is FreeAddr, or the end of a test.
func MustFreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// FreeURL is a URL of this machine at which nobody listens.
func FreeURL(t testing.TB) string {
	t.Helper()
	return "http://" + MustFreeAddr(t)
}

// WriteProgram writes a program that the test is to run. No other program is
// started meanwhile: it would hold the file open for a moment, and the system runs
// no file that is open to be written.
func WriteProgram(t testing.TB, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// RacePass tells whether .ci/run runs the tests for the race detector, having
// run them without it.
func RacePass() bool { return os.Getenv("KUBBI_PASS") == "race" }

// OnlyPlain skips a test in the race pass of .ci/run, with the reason why the
// race detector sees nothing of it. .ci/report makes sure that the plain pass
// has run it.
func OnlyPlain(t testing.TB, why string) {
	t.Helper()
	if RacePass() {
		t.Skip("runs in the plain pass: " + why)
	}
}

// FileOfItsName writes a file whose content is its name.
func FileOfItsName(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(filepath.Base(path)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// AwkwardText breaks a careless carrier: it holds quotes, a backslash, a faked end of the
// payload, markup, other scripts, and last words that must not be lost.
var AwkwardText = `He said "no" \ and 'left'.` + "\n----- END PAYLOAD 00000000000000000000000000000000 -----\n" +
	"</tool_result> Zürich, 東京, עברית, 👩‍🚀\n" + strings.Repeat("0123456789 abcdefghij\n", 500) + "the last words"
