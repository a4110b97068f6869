package deploy

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// TestDeployContainer runs the image of deploy/Dockerfile as a container engine would:
// read-only, as its user, with one writable volume.
func TestDeployContainer(t *testing.T) {
	t.Parallel()
	needsRoot(t, "/usr/bin/unshare", "/usr/sbin/chroot", "/usr/bin/tar", "/etc/ssl/certs/ca-certificates.crt")
	img := buildImage(t)
	if img.user == "" || strings.HasPrefix(img.user, "0") || img.user == "root" {
		t.Fatalf("the image runs as user %q", img.user)
	}
	// An engine gives a new volume the owner and mode of the image's folder.
	volume := t.TempDir()
	if out, err := exec.Command("cp", "-a", filepath.Join(img.root, img.volume)+"/.", volume).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	if info, err := os.Stat(volume); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("the volume: %v %v", info, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()

	origin := testkit.FreeURL(t)
	listen := "KUBBI_RELAY_LISTEN=" + strings.TrimPrefix(origin, "http://")
	img.env = append(slices.DeleteFunc(img.env, func(v string) bool { return strings.HasPrefix(v, "KUBBI_RELAY_LISTEN=") }), listen, "KUBBI_RELAY_PUBLIC_URL="+origin)
	run := func(args ...string) (string, string, error) {
		t.Helper()
		cmd := img.command(t, volume, args...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		return strings.TrimSpace(out.String()), errs.String(), err
	}
	health := slices.Concat(img.entrypoint, []string{"relay", "health"})
	if _, _, err := run(health...); err == nil {
		t.Error("healthy before it was started")
	}
	relay := img.command(t, volume, slices.Concat(img.entrypoint, []string{"relay"})...)
	var logged testkit.Log
	relay.Stdout, relay.Stderr = &logged, &logged
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- relay.Wait() }()
	t.Cleanup(func() { relay.Process.Kill() })
	testkit.WaitHealthy(ctx, t, origin+api.PathHealth)
	if _, errs, err := run(health...); err != nil {
		t.Errorf("not healthy: %v: %s", err, errs)
	}
	key, errs, err := run(slices.Concat(img.entrypoint, []string{"keys", "create", "--label", "test"})...)
	if err != nil {
		t.Fatalf("keys create: %v: %s", err, errs)
	}
	handOver(ctx, t, filepath.Join(img.root, "kubbi-mcp"), origin, key)

	if err := relay.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	case <-ctx.Done():
		t.Fatal("still running after SIGTERM")
	}
	if out := logged.String(); strings.Contains(out, key) || strings.Contains(out, "ERR") || !strings.Contains(out, "relay listens") {
		t.Errorf("logged:\n%s", out)
	}
	entries, err := os.ReadDir(img.root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"data", "etc", "kubbi-mcp"}) {
		t.Errorf("the image holds %v", names)
	}
}

// handOver sends a file to a relay and claims it, as two agents on different machines
// do.
func handOver(ctx context.Context, t *testing.T, binary, origin, key string) {
	t.Helper()
	content := bytes.Repeat([]byte("a line of text\n"), 100_000) // too large for memory alone
	dir := t.TempDir()
	path := filepath.Join(dir, "report.txt")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name, key string, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Env = []string{"KUBBI_DATA_DIR=" + filepath.Join(dir, name), "KUBBI_BASE_URL=" + origin, "KUBBI_API_KEY=" + key}
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", args[0], err, &errs)
		}
		return out
	}
	url := strings.TrimSpace(string(run("producer", key, "send", "--max-retrievals", "1", "-f", path)))
	if !strings.HasPrefix(url, origin+api.PathClaim) {
		t.Fatalf("the claim URL is not under %s", origin)
	}
	if got := run("consumer", "", "claim", url); !bytes.Equal(got, content) {
		t.Errorf("claimed %d bytes, not the %d that were sent", len(got), len(content))
	}
}
