//go:build unix

package child

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/scrub"
)

// slow takes its time at the first write.
type slow struct {
	bytes.Buffer
	pause time.Duration
}

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(s.pause)
	s.pause = 0
	return s.Buffer.Write(p)
}

var secrets = []scrub.Secret{{Name: "P", Value: []byte("hunter2hunter2")}}

// TestSlowReader reads the output of a command that ended long ago: all of it arrives.
func TestSlowReader(t *testing.T) {
	c := New("/bin/sh", []string{"sh", "-c", `i=0; while [ $i -lt 40 ]; do head -c 1000000 /dev/zero | tr '\0' x | head -c 5000; i=$((i+1)); done; echo "the end: $P"`})
	out := &slow{pause: idleAfterExit + 500*time.Millisecond}
	var stderr bytes.Buffer
	if err := c.Start(append(os.Environ(), "P=hunter2hunter2"), secrets, strings.NewReader(""), out, &stderr); err != nil {
		t.Fatal(err)
	}
	ended := false
	code, err := c.Wait(func() { ended = true })
	if code != 0 || err != nil || !ended || stderr.Len() > 0 {
		t.Errorf("code %d, %v, %v, %q", code, err, ended, stderr.String())
	}
	if want := 40*5000 + len("the end: [P]\n"); out.Len() != want || !strings.HasSuffix(out.String(), "the end: [P]\n") {
		t.Errorf("%d bytes, want %d", out.Len(), want)
	}
}

// TestFullOutput fails to write the output: that is an error, and the command ends.
func TestFullOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	c := New("/bin/sh", []string{"sh", "-c", "while :; do echo output; done"})
	if err := c.Start(nil, secrets, strings.NewReader(""), full, os.Stderr); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(func() {}); err == nil || !strings.Contains(err.Error(), "write the command's output") {
		t.Errorf("error %v", err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, name := range []string{"sh", file("script", "#! /bin/sh\n", 0o700), file("args", "#!/usr/bin/env\tsh", 0o700), file("binary", "\x7fELF\x00", 0o700)} {
		if path, err := Find(name); err != nil || !filepath.IsAbs(path) {
			t.Errorf("%s: %q, %v", name, path, err)
		}
	}
	for name, missing := range map[string]bool{
		"no-such-command-anywhere":                      true,
		filepath.Join(dir, "no-such"):                   true,
		file("not-executable", "#!/bin/sh\n", 0o600):    false,
		file("text", "echo\n", 0o700):                   false,
		file("empty", "", 0o700):                        false,
		file("bare", "#!", 0o700):                       false,
		file("broken", "#!/no-such/interpreter", 0o700): false,
		dir: false,
	} {
		if _, err := Find(name); err == nil || errors.Is(err, ErrNotFound) != missing {
			t.Errorf("%s: %v", name, err)
		}
	}
}
