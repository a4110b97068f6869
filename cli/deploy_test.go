package cli

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"kubbi-mcp/internal/testkit"
)

// programVariables are the environment variables of all commands.
func programVariables(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{"KUBBI_MCP_TOKEN": true, filesVariable: true} // have no flag; the second is set for a command
	for name := range everySetting(t) {
		all[name] = true
	}
	return all
}

// TestDeployVariables checks that the files of deploy/ set only variables that the
// program reads.
func TestDeployVariables(t *testing.T) {
	known := programVariables(t)
	files := []string{"../docs/team.md"}
	err := filepath.WalkDir("../deploy", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 7 {
		t.Errorf("only %v", files)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bKUBBI_[A-Z_]*[A-Z]\b`).FindAllString(string(b), -1) {
			if !known[name] {
				t.Errorf("%s: no command reads %s", path, name)
			}
		}
	}
}

// stopTime is how long a relay with default flags may take to stop.
func stopTime(t *testing.T) time.Duration {
	t.Helper()
	var sum time.Duration
	settings := everySetting(t)
	for _, name := range []string{"KUBBI_RELAY_LAME_DUCK", "KUBBI_RELAY_DRAIN"} {
		d, err := time.ParseDuration(settings[name].Default)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum += d
	}
	return sum
}

// TestDeployUnit checks the systemd unit. TestDeployGuide runs it.
func TestDeployUnit(t *testing.T) {
	unit := readDoc(t, "deploy/kubbi-relay.service")
	command := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/kubbi-mcp (.+)$`).FindStringSubmatch(unit)
	if command == nil {
		t.Fatal("no ExecStart")
	}
	accepts(t, strings.Fields(command[1])...)
	stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(.+)$`).FindStringSubmatch(unit)
	if stop == nil {
		t.Fatal("no TimeoutStopSec")
	}
	if d, err := time.ParseDuration(stop[1]); err != nil || d < 2*stopTime(t) {
		t.Errorf("TimeoutStopSec=%s, and a relay may take %v", stop[1], stopTime(t))
	}
}

// TestDeployAdmin runs kubbi-relay-admin with a folder of settings. A last line without a line
// end counts, as it does for systemd.
func TestDeployAdmin(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		testkit.Missing(t, "no sh")
	}
	conf := t.TempDir()
	for name, text := range map[string]string{"env": "# a comment\nKUBBI_LOG_FORMAT=json\n\nKUBBI_RELAY_NAME=the platform team", "store": "x"} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := readDoc(t, "deploy/kubbi-relay-admin")
	script = strings.Replace(script, "conf=/etc/kubbi-relay\n", "conf="+filepath.ToSlash(conf)+"\n", 1)
	script = strings.Replace(script, "exec /usr/local/bin/kubbi-mcp", "exec", 1)
	cmd := exec.Command(sh, "-c", script, "kubbi-relay-admin", sh, "-c", `printf '%s\n' "$KUBBI_DATA_DIR" "$KUBBI_STORE" "$KUBBI_LOG_FORMAT" "$KUBBI_RELAY_NAME"`)
	out, err := cmd.CombinedOutput()
	if want := "/var/lib/kubbi-relay\nfile:" + filepath.ToSlash(conf) + "/store\njson\nthe platform team\n"; err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

// TestDeployDockerfile checks the Dockerfile. TestDeployContainer runs its image.
func TestDeployDockerfile(t *testing.T) {
	file := readDoc(t, "deploy/Dockerfile")
	list := regexp.MustCompile(`(?m)^CMD \[(.+)\]$`).FindStringSubmatch(file)
	if list == nil {
		t.Fatal("no CMD")
	}
	var args []string
	if err := yaml.Unmarshal([]byte("["+list[1]+"]"), &args); err != nil {
		t.Fatal(err)
	}
	accepts(t, args...)
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readDoc(t, "go.mod"))
	if language == nil || !strings.Contains(file, " golang:"+language[1]+".") {
		t.Errorf("the image is not built with Go %v, which go.mod wants", language)
	}
	// The image and a release are built with the same flags. A release also leaves out inlining in
	// some packages.
	release := readDoc(t, "release/build.go")
	for _, flag := range []string{"CGO_ENABLED=0", "GOEXPERIMENT=jsonv2", "-trimpath", `-s -w -funcalign=16 -X kubbi-mcp/cli.version=`} {
		if !strings.Contains(file, flag) || !strings.Contains(release, flag) {
			t.Errorf("%s is not in the Dockerfile and in release/build.go", flag)
		}
	}
	if !strings.Contains(file, "\nEXPOSE 7118\n") || !strings.Contains(file, " KUBBI_RELAY_LISTEN=:7118\n") {
		t.Error("the image does not listen at the port that it exposes")
	}
}

// TestDeployCompose checks compose.yaml. .ci/run validates it with its schema.
func TestDeployCompose(t *testing.T) {
	type service struct {
		Image       string
		User        string
		Environment map[string]string
		Command     []string
		Secrets     []string
		Networks    []string
		Ports       []string
		Volumes     []string
		HealthCheck struct{ Test []string }
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Grace       string   `yaml:"stop_grace_period"`
	}
	var file struct {
		Services map[string]service
		Networks map[string]struct{ Internal bool }
		Secrets  map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(readDoc(t, "deploy/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) != 3 {
		t.Errorf("%d services", len(file.Services))
	}
	for name, s := range file.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s is not locked in", name)
		}
		if name != "relay" && (len(s.Ports) > 0 || !slices.Equal(s.Networks, []string{"inside"})) {
			t.Errorf("%s can be reached from outside", name)
		}
		for _, secret := range s.Secrets {
			if file.Secrets[secret].File != "./secrets/"+secret {
				t.Errorf("%s: no secret %s", name, secret)
			}
		}
		for variable, value := range s.Environment {
			if after, ok := strings.CutPrefix(value, "file:/run/secrets/"); ok && !slices.Contains(s.Secrets, after) {
				t.Errorf("%s: %s names a secret that it is not given", name, variable)
			}
		}
	}
	if !file.Networks["inside"].Internal {
		t.Error("the data base's network leads outside")
	}
	relay := file.Services["relay"]
	accepts(t, relay.Command...)
	if test := relay.HealthCheck.Test; len(test) < 2 || test[0] != "CMD" || test[1] != "/kubbi-mcp" {
		t.Errorf("health check %q", test)
	} else {
		accepts(t, test[2:]...)
	}
	for _, port := range relay.Ports {
		if !strings.HasPrefix(port, "127.0.0.1:") || !strings.HasSuffix(port, ":7118") {
			t.Errorf("port %s", port)
		}
	}
	if d, err := time.ParseDuration(relay.Grace); err != nil || d < 2*stopTime(t) {
		t.Errorf("stop_grace_period %s, and a relay may take %v", relay.Grace, stopTime(t))
	}
	for _, name := range []string{"KUBBI_STORE", "KUBBI_KEYRING", "KUBBI_RELAY_PUBLIC_URL"} {
		if relay.Environment[name] == "" {
			t.Errorf("the relay has no %s", name)
		}
	}
}
