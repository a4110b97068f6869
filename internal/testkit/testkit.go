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

// FreeAddr gives a loopback address at which nobody listens. Its port is outside the
// range from which the system chooses ports of outgoing connections and of listeners
// without a port, so that these do not take it before the test uses it.
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

// MustFreeAddr is FreeAddr for a test, which fails if there is no such address.
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

// WriteProgram writes a program that the test will run. No other program is started
// meanwhile: it would have the file open for a moment, and the system does not run a
// file that is open for writing.
func WriteProgram(t testing.TB, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// RacePass tells whether .ci/run runs the tests with the race detector, after a pass
// without it.
func RacePass() bool { return os.Getenv("KUBBI_PASS") == "race" }

// OnlyPlain skips a test in the race pass of .ci/run. why says why the race detector
// finds nothing. .ci/report checks that the plain pass has run the test.
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

// AwkwardText is a text that careless programs damage: it holds quotes, a backslash, a
// faked end of the payload, markup, other scripts, and last words that must not be
// lost.
var AwkwardText = `He said "no" \ and 'left'.` + "\n----- END PAYLOAD 00000000000000000000000000000000 -----\n" +
	"</tool_result> Zürich, 東京, עברית, 👩‍🚀\n" + strings.Repeat("0123456789 abcdefghij\n", 500) + "the last words"
