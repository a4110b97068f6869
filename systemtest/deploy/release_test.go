package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// descriptor names a blob of an OCI image layout.
type descriptor struct {
	MediaType string
	Digest    string
	Platform  *struct{ OS, Architecture string }
}

// unpackImage unpacks the image of a release for this machine.
func unpackImage(t *testing.T, layout string) (img image, labels map[string]string) {
	t.Helper()
	read := func(name string, v any) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(layout, name))
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	blob := func(d descriptor) string { return "blobs/" + strings.Replace(d.Digest, ":", "/", 1) }
	var index struct{ Manifests []descriptor }
	read("index.json", &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("the layout has %d images", len(index.Manifests))
	}
	read(blob(index.Manifests[0]), &index)
	platforms := map[string]descriptor{}
	for _, m := range index.Manifests {
		platforms[m.Platform.OS+"/"+m.Platform.Architecture] = m
	}
	if len(platforms) != 2 || platforms["linux/arm64"].Digest == "" {
		t.Errorf("platforms %v", platforms)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	read(blob(platforms["linux/"+runtime.GOARCH]), &manifest)
	var config struct {
		Config struct {
			User            string
			Env             []string
			Entrypoint, Cmd []string
			Volumes         map[string]any
			Labels          map[string]string
		}
	}
	read(blob(manifest.Config), &config)
	img = image{root: t.TempDir(), env: config.Config.Env, user: config.Config.User, entrypoint: config.Config.Entrypoint, cmd: config.Config.Cmd}
	for name := range config.Config.Volumes {
		img.volume = name
	}
	if err := errors.Join(os.Chmod(img.root, 0o755), os.Mkdir(filepath.Join(img.root, "proc"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, l := range manifest.Layers {
		if out, err := exec.Command("tar", "-xzf", filepath.Join(layout, blob(l)), "--same-owner", "-C", img.root).CombinedOutput(); err != nil {
			t.Fatalf("layer %s: %v\n%s", l.MediaType, err, out)
		}
	}
	return img, config.Config.Labels
}

// TestReleaseImage runs the image of a release as an engine with --read-only does: with
// its default command, which is the server over stdio, and as a relay and a demo.
func TestReleaseImage(t *testing.T) {
	t.Parallel()
	needsRoot(t, "/usr/bin/unshare", "/usr/sbin/chroot", "/usr/bin/tar")
	dist := testkit.Needs(t, "KUBBI_DIST", "a release (go -C release run .)")
	found, err := filepath.Glob(filepath.Join(dist, "*_oci.tar"))
	if err != nil || len(found) != 1 {
		t.Fatalf("images %q, %v", found, err)
	}
	layout := t.TempDir()
	if out, err := exec.Command("tar", "-xf", found[0], "-C", layout).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	img, labels := unpackImage(t, layout)
	if strings.HasPrefix(img.user, "0") || img.user == "" || labels["io.modelcontextprotocol.server.name"] == "" {
		t.Errorf("user %q, labels %v", img.user, labels)
	}
	volume := t.TempDir()
	if out, err := exec.Command("cp", "-a", filepath.Join(img.root, img.volume)+"/.", volume).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	run := func(input string, args ...string) string {
		t.Helper()
		cmd := img.command(t, volume, append(img.entrypoint, args...)...)
		var errs bytes.Buffer
		cmd.Stdin, cmd.Stderr = strings.NewReader(input), &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, &errs)
		}
		return string(out)
	}
	initialize := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}` + "\n"
	if out := run(initialize, img.cmd...); !strings.Contains(out, `"serverInfo"`) {
		t.Errorf("the default command %q answers %q", img.cmd, out)
	}
	img.env = append(img.env, fmt.Sprintf("TMPDIR=%s", img.volume))
	if out := run("", "demo"); !strings.Contains(out, "All 6 checks hold") {
		t.Errorf("the demo:\n%s", out)
	}
	// One word makes it a relay.
	origin := testkit.FreeURL(t)
	img.env = slices.DeleteFunc(img.env, func(v string) bool { return strings.HasPrefix(v, "KUBBI_RELAY_LISTEN=") })
	img.env = append(img.env, "KUBBI_RELAY_LISTEN="+strings.TrimPrefix(origin, "http://"), "KUBBI_RELAY_PUBLIC_URL="+origin)
	relay := img.command(t, volume, append(img.entrypoint, "relay")...)
	var logged testkit.Log
	relay.Stderr = &logged
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	defer relay.Process.Kill()
	testkit.WaitHealthy(t.Context(), t, origin+api.PathHealth)
	if err := errors.Join(relay.Process.Signal(syscall.SIGTERM), relay.Wait()); err != nil {
		t.Errorf("relay: %v\n%s", err, &logged)
	}
}
