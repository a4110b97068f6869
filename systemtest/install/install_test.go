// Package install installs what a release has made, each in a clean place, and runs the
// program from there.
package install

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// artifact finds the one file of the release whose path matches a pattern.
func artifact(t *testing.T, pattern string) string {
	t.Helper()
	dist := testkit.Needs(t, "KUBBI_DIST", "a release (go -C release run .)")
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		testkit.Missing(t, "the artifacts for linux/amd64 are tried")
	}
	found, err := filepath.Glob(filepath.Join(dist, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %d files, %v", pattern, len(found), err)
	}
	return found[0]
}

// run runs a command to its end, with these variables and no others but PATH and HOME.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// demo runs a handoff with an installed program, and checks that it is the release's.
func demo(t *testing.T, name string, args ...string) {
	t.Helper()
	version := strings.Fields(run(t, "", nil, name, append(args, "version")...))[1]
	if !strings.Contains(artifact(t, "*.mcpb"), "_"+strings.TrimPrefix(version, "v")+".mcpb") {
		t.Errorf("%s is version %s", name, version)
	}
	if out := run(t, "", nil, name, append(args, "demo")...); !strings.Contains(out, "All 6 checks hold") {
		t.Errorf("the demo of %s:\n%s", name, out)
	}
}

// bareRoot makes a root folder that has nothing but /tmp.
func bareRoot(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		testkit.Missing(t, "chroot needs root")
	}
	root := t.TempDir()
	for dir, mode := range map[string]os.FileMode{"": 0o755, "tmp": 0o777 | os.ModeSticky} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, dir), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// inRoot is demo in another root folder, which gets a /proc, as a user who owns nothing
// there.
func inRoot(t *testing.T, root, program string) {
	t.Helper()
	const script = `mkdir -p "$1/proc" && mount --bind /proc "$1/proc" && exec /usr/sbin/chroot --userspec=65534:65534 "$@"`
	demo(t, "unshare", "--mount", "sh", "-ec", script, "sh", root, program)
}

func TestArchive(t *testing.T) {
	t.Parallel()
	root := bareRoot(t)
	run(t, root, nil, "tar", "--strip-components=1", "-xzf", artifact(t, "*_linux_amd64.tar.gz"))
	inRoot(t, root, "/kubbi-mcp")
	for _, name := range []string{"LICENSE", "THIRD-PARTY-LICENSES.txt", "man/kubbi-mcp.1", "completion/kubbi-mcp.zsh", "deploy/kubbi-relay.service"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
}

// packaged checks what every package of a Linux distribution installs.
func packaged(t *testing.T, root string) {
	t.Helper()
	inRoot(t, root, "/usr/bin/kubbi-mcp")
	for _, name := range []string{
		"usr/share/man/man1/kubbi-mcp-send.1.gz", "usr/share/bash-completion/completions/kubbi-mcp", "usr/share/fish/vendor_completions.d/kubbi-mcp.fish",
		"usr/share/doc/kubbi-mcp/THIRD-PARTY-LICENSES.txt", "usr/sbin/kubbi-relay-admin",
	} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(filepath.Join(root, "etc/kubbi-relay")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("/etc/kubbi-relay: %v %v", info, err)
	}
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/kubbi-relay.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/usr/bin/kubbi-mcp relay\n") {
		t.Errorf("the unit: %v\n%s", err, unit)
	}
}

func TestDeb(t *testing.T) {
	t.Parallel()
	root := bareRoot(t)
	for _, dir := range []string{"updates", "info", "triggers"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	deb := artifact(t, "*_amd64.deb")
	dpkg := func(args ...string) string {
		t.Helper()
		return run(t, "", nil, "dpkg", append([]string{"--root=" + root, "--log=/dev/null"}, args...)...)
	}
	dpkg("--install", deb)
	packaged(t, root)
	dpkg("--install", deb) // an upgrade
	dpkg("--verify", "kubbi-mcp")
	dpkg("--purge", "kubbi-mcp")
	if _, err := os.Stat(filepath.Join(root, "usr")); !os.IsNotExist(err) {
		t.Errorf("left in /usr: %v", err)
	}
}

func TestRPM(t *testing.T) {
	t.Parallel()
	root := bareRoot(t)
	file := artifact(t, "*.x86_64.rpm")
	if _, err := exec.LookPath("rpm"); err != nil {
		testkit.Missing(t, "no rpm here; .ci/run installs it")
	}
	rpm := func(args ...string) {
		t.Helper()
		run(t, "", nil, "rpm", append([]string{"--root=" + root, "--dbpath=/var/lib/rpm"}, args...)...)
	}
	rpm("--install", "--nodeps", file)
	packaged(t, root)
	rpm("--verify", "--nodeps", "kubbi-mcp")
	rpm("--erase", "kubbi-mcp")
	if _, err := os.Stat(filepath.Join(root, "usr/bin/kubbi-mcp")); !os.IsNotExist(err) {
		t.Errorf("left: %v", err)
	}
}

// Without Alpine's own program the files of its package are unpacked.
func TestAPK(t *testing.T) {
	t.Parallel()
	root := bareRoot(t)
	run(t, root, nil, "tar", "--warning=no-unknown-keyword", "-xzf", artifact(t, "*_x86_64.apk"))
	packaged(t, root)
}

func TestNode(t *testing.T) {
	t.Parallel()
	main, binary := artifact(t, "npm/kubbi-mcp-[0-9]*.tgz"), artifact(t, "npm/kubbi-mcp-linux-x64-*.tgz")
	testkit.NeedsNode(t)
	dir := t.TempDir()
	// Offline: what is not in the files is not there.
	flags := []string{"install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", dir}
	run(t, dir, nil, "npm", append(flags, main)...)
	alone := exec.Command(filepath.Join(dir, "node_modules/.bin/kubbi-mcp"), "version")
	if out, err := alone.CombinedOutput(); err == nil || !strings.Contains(string(out), "npm install --include=optional kubbi-mcp") {
		t.Errorf("without the platform's package: %v, %s", err, out)
	}
	run(t, dir, nil, "npm", append(flags, main, binary)...)
	demo(t, "npx", "--offline", "--prefix", dir, "--no-install", "kubbi-mcp")
	s := host(t, filepath.Join(dir, "node_modules/.bin/kubbi-mcp"), []string{"serve"}, nil)
	s.handOver(t)
}

func TestWheel(t *testing.T) {
	t.Parallel()
	wheel := artifact(t, "pypi/*manylinux2014_x86_64*.whl")
	if _, err := exec.LookPath("python3"); err != nil {
		testkit.Missing(t, "no Python here")
	}
	dir := t.TempDir()
	run(t, dir, nil, "python3", "-m", "venv", "v")
	// pip chooses among all wheels.
	pip := []string{"-m", "pip", "--disable-pip-version-check", "--quiet"}
	python := filepath.Join(dir, "v/bin/python")
	run(t, dir, nil, python, append(pip, "install", "--no-index", "--pre", "--find-links", filepath.Dir(wheel), "kubbi-mcp")...)
	demo(t, filepath.Join(dir, "v/bin/kubbi-mcp"))
	run(t, dir, nil, python, append(pip, "check")...)
	run(t, dir, nil, python, append(pip, "uninstall", "--yes", "kubbi-mcp")...)
	if left, err := filepath.Glob(filepath.Join(dir, "v/*/kubbi*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q %v", left, err)
	}
}

// A bundle is validated, and started as a host does it: from a folder with a space, with
// nothing filled in, and with two folders.
func TestBundle(t *testing.T) {
	t.Parallel()
	bundle := artifact(t, "*.mcpb")
	node, modules := testkit.NeedsNode(t), testkit.Needs(t, "KUBBI_MCPB", "the folder of @anthropic-ai/mcpb")
	dir := filepath.Join(t.TempDir(), "Claude Extensions")
	// Unpacks as the host's tool does, with the modes of the files.
	cli := filepath.Join(modules, "node_modules/@anthropic-ai/mcpb/dist/cli/cli.js")
	run(t, "", nil, node, cli, "unpack", bundle, dir)
	if out := run(t, "", nil, node, cli, "validate", filepath.Join(dir, "manifest.json")); !strings.Contains(out, "passes") {
		t.Error(out)
	}
	demo(t, filepath.Join(dir, "server/kubbi-mcp"))
	start := func(config string) *session {
		t.Helper()
		var how struct {
			Command string
			Args    []string
			Env     map[string]string
		}
		out := run(t, "testdata/mcpb", []string{"KUBBI_MCPB=" + modules}, node, "start.mjs", dir, config)
		if err := json.Unmarshal([]byte(out), &how); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var env []string
		for name, value := range how.Env {
			env = append(env, name+"="+value)
		}
		return host(t, how.Command, how.Args, env)
	}
	blank := start("{}")
	blank.handOver(t)
	if log := blank.stderr.String(); !strings.Contains(log, "setting=KUBBI_API_KEY") || !strings.Contains(log, "the folders of serve") {
		t.Errorf("nothing was a placeholder:\n%s", log)
	}
	one, two := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(two, "notes.txt"), []byte("from the second folder"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"allow_dir": []string{one, two}, "sealed": true})
	if err != nil {
		t.Fatal(err)
	}
	filled := start(string(config))
	if url := filled.send(t, map[string]any{"path": filepath.Join(two, "notes.txt")}); !strings.Contains(url, "#k=") {
		t.Error("not sealed")
	}
}
