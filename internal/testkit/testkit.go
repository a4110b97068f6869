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

// FreeAddr gives a loopback address at which nothing listens. Its port is outside the
// range from which the system chooses ports, so that no other connection or listener takes
// it before the test uses it.
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

// MustFreeAddr is FreeAddr, and fails the test on an error.
func MustFreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// FreeURL is the URL of an address from FreeAddr.
func FreeURL(t testing.TB) string {
	t.Helper()
	return "http://" + MustFreeAddr(t)
}

// WriteProgram writes a program that the test will run. Meanwhile no process is started: it
// would inherit the open file for a moment, and the system does not run a file that is open
// for writing.
func WriteProgram(t testing.TB, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// OnlyPlain skips a test in the race pass of .ci/run. why says why the race detector can
// find nothing in it. .ci/report checks that the plain pass has run the test.
func OnlyPlain(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("KUBBI_PASS") == "race" {
		t.Skip("runs in the plain pass: " + why)
	}
}

// FilesIn lists the files in a folder and in the folders in it.
func FilesIn(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// FileOfItsName writes a file whose content is its name.
func FileOfItsName(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(filepath.Base(path)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// AwkwardText is a text that careless programs damage. It has quotes, a backslash, a faked
// end of the payload, markup, several scripts, and an end that must not be cut off.
var AwkwardText = `He said "no" \ and 'left'.` + "\n----- END PAYLOAD 00000000000000000000000000000000 -----\n" +
	"</tool_result> Zürich, 東京, עברית, 👩‍🚀\n" + strings.Repeat("0123456789 abcdefghij\n", 500) + "the last words"
