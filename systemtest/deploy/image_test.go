package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// image is what deploy/Dockerfile makes, as far as this is possible without a container
// engine: the root folder of its last stage, and how its process is started.
type image struct {
	root       string
	env        []string
	user       string
	entrypoint []string
	cmd        []string
	volume     string
}

// instruction is an instruction of a Dockerfile.
type instruction struct{ name, rest string }

func readDockerfile(t *testing.T) []instruction {
	t.Helper()
	b, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(b), "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	var all []instruction
	for line := range strings.Lines(text) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			all = append(all, instruction{name, rest})
		}
	}
	return all
}

// buildImage executes the instructions. This machine is the build stage: the RUN that
// builds runs unchanged on the files of the build context, with another folder for
// /out.
func buildImage(t *testing.T) image {
	t.Helper()
	out := t.TempDir()
	img := image{root: t.TempDir()}
	if err := os.Chmod(img.root, 0o755); err != nil {
		t.Fatal(err)
	}
	src := buildContext(t)
	stage := 0
	for _, in := range readDockerfile(t) {
		switch in.name {
		case "FROM":
			if stage++; stage == 2 && in.rest != "scratch" {
				t.Fatalf("the image is made FROM %s", in.rest)
			}
		case "RUN":
			if !strings.Contains(in.rest, "go build") {
				continue // go mod download: the modules are here
			}
			cmd := exec.Command("sh", "-ec", strings.ReplaceAll(in.rest, "/out", out))
			cmd.Dir = src
			cmd.Env = append(os.Environ(), "VERSION=v0.0.0-test", "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH)
			if o, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", in.rest, err, o)
			}
		case "COPY":
			img.copy(t, in.rest, out)
		case "ENV":
			img.env = append(img.env, strings.Fields(in.rest)...)
		case "USER":
			img.user = in.rest
		case "VOLUME":
			img.volume = in.rest
		case "ENTRYPOINT":
			img.entrypoint = words(t, in.rest)
		case "CMD":
			img.cmd = words(t, in.rest)
		}
	}
	return img
}

// copy executes a COPY of the last stage.
func (img image) copy(t *testing.T, rest, out string) {
	t.Helper()
	var owner string
	args := slices.DeleteFunc(strings.Fields(rest), func(word string) bool {
		if after, ok := strings.CutPrefix(word, "--chown="); ok {
			owner = after
		}
		return strings.HasPrefix(word, "--")
	})
	if !strings.HasPrefix(rest, "--from=build ") {
		return
	}
	from, to := args[0], filepath.Join(img.root, args[1])
	if after, ok := strings.CutPrefix(from, "/out"); ok {
		from = out + after
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{{"cp", "-a", from, to}}
	if owner != "" {
		commands = append(commands, []string{"chown", "-R", owner, to})
	}
	for _, c := range commands {
		if o, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("COPY %s: %v\n%s", rest, err, o)
		}
	}
}

// buildContext copies the files that deploy/Dockerfile.dockerignore lets into a build.
func buildContext(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../deploy/Dockerfile.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--create", "--file=-", "--directory=../..", "--exclude=testdata", "--exclude=*_test.go"}
	for _, pattern := range []string{"\n*\n", "\n**/testdata\n", "\n**/*_test.go\n"} {
		if !strings.Contains(string(b), pattern) {
			t.Fatalf("Dockerfile.dockerignore lacks %q", pattern)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^!(.+)$`).FindAllStringSubmatch(string(b), -1) {
		args = append(args, m[1])
	}
	dir := t.TempDir()
	pack, unpack := exec.Command("tar", args...), exec.Command("tar", "--extract", "--file=-", "--directory="+dir)
	unpack.Stdin, err = pack.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := unpack.Start(); err != nil {
		t.Fatal(err)
	}
	if err := pack.Run(); err != nil {
		t.Fatalf("tar %v: %v", args, err)
	}
	if err := unpack.Wait(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func words(t *testing.T, list string) []string {
	t.Helper()
	var all []string
	if err := json.Unmarshal([]byte(list), &all); err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	return all
}

// command starts a process as an engine with --read-only does: as the image's user, in
// a root folder where only the volume can be written. There is no /tmp or /dev, which an
// engine would add, and /proc only if the root folder has a place for it.
func (img image) command(t *testing.T, volume string, args ...string) *exec.Cmd {
	t.Helper()
	script := `
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount --bind "$FROM" "$ROOT$VOLUME"
[ ! -d "$ROOT/proc" ] || mount --bind /proc "$ROOT/proc"
mount -o remount,bind,ro "$ROOT"
user=$USER root=$ROOT
unset ROOT FROM VOLUME USER PWD OLDPWD PATH
exec /usr/sbin/chroot --userspec="$user" "$root" "$@"`
	cmd := exec.Command("/usr/bin/unshare", append([]string{"--mount", "/bin/sh", "-euc", script, "sh"}, args...)...)
	cmd.Env = append([]string{"ROOT=" + img.root, "FROM=" + volume, "VOLUME=" + img.volume, "USER=" + img.user, "PATH=/usr/bin:/bin"}, img.env...)
	return cmd
}

// needsRoot skips a test that needs root and these programs.
func needsRoot(t *testing.T, programs ...string) {
	t.Helper()
	missing := ""
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		missing = "root on Linux"
	}
	for _, p := range programs {
		if _, err := os.Stat(p); err != nil {
			missing = p
		}
	}
	if missing != "" {
		testkit.Missing(t, "needs "+missing)
	}
}
