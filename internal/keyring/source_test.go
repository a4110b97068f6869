//go:build unix

package keyring_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/testkit"
)

var when = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

func newRing(t testing.TB, seed byte) *atrest.Keyring {
	t.Helper()
	r, err := atrest.NewKeyring(rand.NewChaCha8([32]byte{seed}), when)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func with(t testing.TB, r *atrest.Keyring, seed byte, created, from time.Time) *atrest.Keyring {
	t.Helper()
	r, err := r.With(rand.NewChaCha8([32]byte{seed}), created, from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func encode(t testing.TB, r *atrest.Keyring) []byte {
	t.Helper()
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// put replaces a private file.
func put(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// script makes a program of the lines of a shell script.
func script(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	testkit.WriteProgram(t, path, []byte("#!/bin/sh\n"+strings.Join(lines, "\n")+"\n"))
	return path
}

func TestParse(t *testing.T) {
	for name, want := range map[string]string{
		"/etc/kubbi/keyring.json":       "/etc/kubbi/keyring.json",
		" keyring.json ":                "keyring.json",
		"file:/a b/c":                   "/a b/c",
		"file:env:x":                    "env:x", // a path
		"C:/keyring.json":               "C:/keyring.json",
		"env:RING_1":                    "env:RING_1",
		"command:/bin/get  --token  s3": "command:/bin/get",
	} {
		s, err := keyring.Parse(name, os.Getenv)
		if err != nil || s.String() != want {
			t.Errorf("%q is %v, %v; want %q", name, s, err, want)
		}
	}
	c, err := keyring.Parse("command:get  --id\t1", os.Getenv)
	if got, ok := c.(keyring.Command); err != nil || !ok || !slices.Equal(got, []string{"get", "--id", "1"}) {
		t.Errorf("command is %#v, %v", c, err)
	}
	text := encode(t, newRing(t, 1))
	for _, name := range []string{
		"", " ", "file:", "env:", "env:a b", "env:1", "command:", "command: ",
		string(text), `{"version`, base64.StdEncoding.EncodeToString(text), "env:" + string(text),
	} {
		if s, err := keyring.Parse(name, os.Getenv); err == nil {
			t.Errorf("%q is taken for %v", name, s)
		} else if len(name) > 9 && strings.Contains(err.Error(), name[:9]) {
			t.Errorf("%v quotes what was given", err)
		}
	}
}

func TestRead(t *testing.T) {
	ring := newRing(t, 1)
	text := encode(t, ring)
	path := filepath.Join(t.TempDir(), "keyring.json")
	put(t, path, text)
	vars := map[string]string{
		"PLAIN": string(text),
		"STD":   base64.StdEncoding.EncodeToString(text) + "\n",
		"URL":   base64.RawURLEncoding.EncodeToString(text),
		"BAD":   "c2VjcmV0",
	}
	getenv := func(name string) string { return vars[name] }
	folded := script(t, "base64 -w 60 "+path)
	for _, name := range []string{path, "env:PLAIN", "env:STD", "env:URL", "command:cat " + path, "command:" + folded} {
		s, err := keyring.Parse(name, getenv)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := keyring.Read(t.Context(), s); err != nil || !bytes.Equal(encode(t, got), text) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	put(t, rubbish, []byte("s3cret rubbish"))
	for name, want := range map[string]string{
		rubbish:                              rubbish + ": keyring is not valid JSON; restore it",
		"env:NONE":                           "env:NONE: the variable is not set",
		"env:BAD":                            "env:BAD: keyring is not valid JSON",
		"command:echo s3cret":                "command:echo: keyring is not valid JSON",
		"command:no-such-program --key=s3cr": "command:no-such-program: ",
		"command:" + script(t, "echo s3cret", "echo it is locked >&2", "exit 3"):                      "exit status 3: it is locked",
		"command:" + script(t, "head -c 70000 /dev/zero"):                                             "more than 65536 bytes",
		"command:" + script(t, "yes s3cret"):                                                          "more than 65536 bytes",
		"command:" + script(t, "head -c 10000 /dev/zero | tr '\\0' x >&2", "exit 1"):                  ": exit status 1: " + strings.Repeat("x", 500),
		"command:" + script(t, "cat "+path, "head -c 10000 /dev/zero | tr '\\0' x >&2", "kill -9 $$"): "signal: killed",
	} {
		s, err := keyring.Parse(name, getenv)
		if err != nil {
			t.Fatal(err)
		}
		_, err = keyring.Read(t.Context(), s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
			continue
		}
		if text := err.Error(); strings.Contains(text, "s3cr") || strings.Contains(text, "c2Vj") || strings.Contains(text, strings.Repeat("x", 501)) {
			t.Errorf("%s: %v shows too much", name, err)
		}
	}
	if _, err := keyring.Read(t.Context(), keyring.File(path+".none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestCommandThatHangs checks that a command and its children end when its time is over
// or its caller has gone.
func TestCommandThatHangs(t *testing.T) {
	for _, name := range []string{"too long", "given up"} {
		t.Run(name, func(t *testing.T) {
			if name == "too long" {
				testkit.OnlyCI(t, "waits ten seconds")
			}
			t.Parallel()
			pids := filepath.Join(t.TempDir(), "pids")
			hanging := script(t, "sleep 1000 &", "echo $! > "+pids, "sleep 1000")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read := make(chan error, 1)
			go func() {
				_, err := keyring.Read(ctx, keyring.Command{hanging})
				read <- err
			}()
			pid := 0
			testkit.Await(t, "the child is there", func() bool {
				b, err := os.ReadFile(pids)
				if err == nil {
					pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
				}
				return err == nil
			})
			if name == "given up" {
				cancel()
			}
			err := <-read
			if cancelled := errors.Is(err, context.Canceled); cancelled != (name == "given up") ||
				!cancelled && (err == nil || !strings.Contains(err.Error(), "did not end within 10s")) {
				t.Errorf("it ended with %v", err)
			}
			testkit.Await(t, "the child has ended", func() bool { return gone(pid) })
		})
	}
}

// gone reports whether a process has ended, also as a zombie.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(b), ") Z ")
}
