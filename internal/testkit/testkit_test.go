package testkit_test

import (
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// The address is free, and stays free while others listen without a port.
func TestFreeAddr(t *testing.T) {
	addr := testkit.MustFreeAddr(t)
	for range 500 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// outcome is a test that records its end, since .ci/report allows no skipped test.
type outcome struct {
	testing.TB
	skipped, failed bool
}

func (o *outcome) Helper()              {}
func (o *outcome) Skip(...any)          { o.skipped = true; runtime.Goexit() }
func (o *outcome) Skipf(string, ...any) { o.Skip() }
func (o *outcome) Fatal(...any)         { o.failed = true; runtime.Goexit() }

func outcomeOf(t *testing.T, test func(testing.TB)) outcome {
	o := &outcome{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		test(o)
	}()
	<-ended
	return *o
}

// Where KUBBI_CI is 1, long tests run and tests without their programs fail. Elsewhere
// both are skipped.
func TestCI(t *testing.T) {
	for _, ci := range []string{"", "0", "1"} {
		t.Setenv("KUBBI_CI", ci)
		if o := outcomeOf(t, func(tb testing.TB) { testkit.OnlyCI(tb, "long") }); o.failed || o.skipped == (ci == "1") {
			t.Errorf("KUBBI_CI=%s: a long test: %+v", ci, o)
		}
		o := outcomeOf(t, func(tb testing.TB) { testkit.Needs(tb, "KUBBI_NO_SUCH_PROGRAM", "nothing") })
		if o.failed != (ci == "1") || o.skipped == (ci == "1") {
			t.Errorf("KUBBI_CI=%s: without its program: %+v", ci, o)
		}
	}
}

// The race pass of .ci/run leaves tests to the plain pass.
func TestOnlyPlain(t *testing.T) {
	for pass, skipped := range map[string]bool{"": false, "plain": false, "race": true} {
		t.Setenv("KUBBI_PASS", pass)
		if o := outcomeOf(t, func(tb testing.TB) { testkit.OnlyPlain(tb, "nothing races") }); o.skipped != skipped {
			t.Errorf("KUBBI_PASS=%s: %+v", pass, o)
		}
	}
}

// The environment of a program holds none of the settings of the tests' caller.
func TestEnviron(t *testing.T) {
	t.Setenv("KUBBI_API_KEY", "kb_x")
	t.Setenv("TESTKIT_OTHER", "y")
	env := testkit.Environ()
	if slices.Contains(env, "KUBBI_API_KEY=kb_x") || !slices.Contains(env, "TESTKIT_OTHER=y") {
		t.Errorf("%q", env)
	}
}

// All tests of a module use one file, which is the program.
func TestProgram(t *testing.T) {
	path := testkit.Program(t)
	out, stderr, err := testkit.Run(t, nil, "version")
	if err != nil || !strings.HasPrefix(out, "kubbi-mcp ") || !filepath.IsAbs(path) {
		t.Errorf("%s: %q, %v\n%s", path, out, err, stderr)
	}
}
