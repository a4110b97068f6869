package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const home = "github.com/acme/kubbi-mcp"

// version is another in each run: the cache of modules keeps a version for good.
var version = fmt.Sprintf("v0.0.0-dev.%d", time.Now().UnixNano())

// command runs a command to its end.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// copyTree copies the tracked files, and those that are about to be.
func copyTree(t *testing.T) string {
	t.Helper()
	root := command(t, ".", nil, "git", "rev-parse", "--show-toplevel")
	to := t.TempDir()
	for name := range strings.SplitSeq(command(t, root, nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00") {
		if name == "" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not committed yet
		}
		path := filepath.Join(to, name)
		if err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755)); err == nil {
			err = os.WriteFile(path, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// proxy makes a module proxy of files that has this version of the module.
func proxy(t *testing.T, tree string) string {
	t.Helper()
	root := t.TempDir()
	at := filepath.Join(root, filepath.FromSlash(home), "@v")
	mod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	var packed bytes.Buffer
	err = errors.Join(err, os.MkdirAll(at, 0o755), zip.CreateFromDir(&packed, module.Version{Path: home, Version: version}, tree))
	for suffix, content := range map[string][]byte{".info": fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version), ".mod": mod, ".zip": packed.Bytes()} {
		err = errors.Join(err, os.WriteFile(filepath.Join(at, version+suffix), content, 0o644))
	}
	if err = errors.Join(err, os.WriteFile(filepath.Join(at, "list"), []byte(version+"\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	return "file://" + filepath.ToSlash(root)
}

// TestRename renames a copy of the tree. Then strangers can use it as any module: go
// install gives them the program, and their own program hands over with package kubbi.
func TestRename(t *testing.T) {
	tree := copyTree(t)
	for _, bad := range []string{"", "kubbi mcp", "github.com/acme/other"} {
		if n, err := rename(tree, bad); err == nil || n != 0 {
			t.Errorf("%q: %d files, %v", bad, n, err)
		}
	}
	if _, err := rename(tree, home); err != nil {
		t.Fatal(err)
	}
	if n, err := rename(tree, home); err != nil || n != 0 {
		t.Errorf("again: %d files, %v", n, err)
	}
	// Every package, every test and the release itself find what they import.
	for _, dir := range []string{tree, filepath.Join(tree, "release")} {
		command(t, dir, nil, "go", "list", "-mod=readonly", "-deps", "-test", "./...")
	}
	old := regexp.MustCompile(`(?m)"kubbi-mcp/(cli|kubbi|relay)"|-X kubbi-mcp/|^module kubbi-mcp|image: kubbi-mcp`)
	for _, name := range []string{"go.mod", "release/go.mod", "main.go", "deploy/Dockerfile", "deploy/compose.yaml", "release/build.go", "cli/demo.go"} {
		if b, err := os.ReadFile(filepath.Join(tree, name)); err != nil || old.Match(b) {
			t.Errorf("%s: %v %q", name, err, old.Find(b))
		}
	}
	label, err := os.ReadFile(filepath.Join(tree, "internal/atrest/atrest.go"))
	if err != nil || !strings.Contains(string(label), `"kubbi-mcp/atrest/`) {
		t.Error("a label of key derivation has changed: no old payload would open")
	}

	// All other modules are in this machine's cache, where this one goes for a moment.
	cache := command(t, ".", nil, "go", "env", "GOMODCACHE")
	t.Cleanup(func() {
		path := filepath.FromSlash(home)
		defer os.Remove(filepath.Dir(filepath.Join(cache, path))) // if nothing else is there
		err := os.RemoveAll(filepath.Join(cache, path+"@"+version))
		if err = errors.Join(err, os.RemoveAll(filepath.Join(cache, "cache", "download", filepath.Dir(path)))); err != nil {
			t.Error(err)
		}
	})
	bin := t.TempDir()
	env := []string{"GOPROXY=" + proxy(t, tree), "GOSUMDB=off", "GOFLAGS=-mod=mod -modcacherw", "GOBIN=" + bin}
	command(t, t.TempDir(), env, "go", "install", home+"@"+version)
	installed := filepath.Join(bin, program)
	if out := command(t, ".", nil, installed, "version"); !strings.HasPrefix(out, program+" "+version+" ") {
		t.Error(out)
	}
	if out := command(t, ".", nil, installed, "manifest", "--json"); !strings.Contains(out, `"module": "`+home+`"`) {
		t.Error("the program does not know its new path")
	}

	origin, key := startRelay(t, installed)
	dir := t.TempDir()
	source, err := os.ReadFile("testdata/handover.go")
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "main.go"), source, 0o600),
		os.WriteFile(filepath.Join(dir, "go.mod"), fmt.Appendf(nil, "module stranger\n\ngo 1.26\n\nrequire %s %s\n", home, version), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if out := command(t, dir, env, "go", "run", ".", origin, key); !strings.HasSuffix(out, "handed over") {
		t.Error(out)
	}
}

// startRelay starts the installed program as a relay, and makes a key.
func startRelay(t *testing.T, installed string) (origin, key string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	origin = "http://" + address
	env := []string{"KUBBI_DATA_DIR=" + t.TempDir(), "KUBBI_RELAY_LISTEN=" + address, "KUBBI_RELAY_PUBLIC_URL=" + origin}
	relay := exec.Command(installed, "relay")
	var log bytes.Buffer
	relay.Env, relay.Stderr = append(os.Environ(), env...), &log
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = relay.Process.Signal(os.Interrupt)
		if err := relay.Wait(); err != nil {
			t.Logf("relay: %v\n%s", err, &log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			return origin, command(t, ".", env, installed, "keys", "create", "--label", "stranger")
		}
		if ctx.Err() != nil {
			t.Fatalf("the relay does not answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
