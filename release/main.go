// Command release makes everything that is published of a version, in one folder: archives,
// packages of Linux distributions, of npm and of PyPI, a bundle for Claude Desktop, an image,
// manifests of package managers and of the MCP registry, and what proves their origin.
//
//	go -C release run . -version v1.2.3
//
// Two runs on one commit make equal bytes. The version, the tools and the settings in all
// manifests are those that the program itself prints (kubbi-mcp manifest --json).
//
// It is a module of its own, since the libraries that write packages need some 50 modules
// more than the program does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	var r release
	flag.StringVar(&r.tag, "version", "", "the version, as v1.2.3; without one it is v0.0.0-dev and the commit's time")
	flag.StringVar(&r.out, "out", "../dist", "the `folder` to make; one that an earlier run made is replaced")
	flag.StringVar(&r.downloads, "downloads", "", "the `URL` below which the archives will be found; by default that of the module's releases, as code hosts have them")
	flag.StringVar(&r.imageName, "image", "", "the image's `name`, with its registry; by default the module's path without its host")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := r.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is one release. Its fields are set in the order of run.
type release struct {
	tag, out, downloads, imageName string // as configured

	root     string    // the folder of the product's go.mod
	commit   string    // in full
	when     time.Time // of the commit; the time of every file
	work     string    // a temporary folder
	dist     string    // becomes out
	binaries map[platform]string
	about    manifest
	texts    texts
	modules  []module
}

func (r *release) run(ctx context.Context) (err error) {
	if err := r.identify(ctx); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	// Beside the result, so that one rename puts it there.
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if r.dist, err = os.MkdirTemp(filepath.Dir(r.out), ".dist-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dist)
	if err := os.Chmod(r.dist, 0o755); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		make func(context.Context) error
	}{
		{"build", r.build}, {"texts", r.readTexts}, {"licences", r.readModules},
		{"artifacts", r.makeArtifacts}, {"manifests", r.makeManifests}, {"origin", r.makeOrigin},
	} {
		start := time.Now()
		if err := step.make(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %.1f s\n", step.name, time.Since(start).Seconds())
	}
	if err := replace(r.dist, r.out); err != nil {
		return err
	}
	return printSizes(r.out, r.binaries)
}

// versionRule is what every package manager can express.
var versionRule = regexp.MustCompile(`^v\d+\.\d+\.\d+(-(alpha|beta|rc|dev)\.\d+)?$`)

// identify finds the tree, its commit and the version.
func (r *release) identify(ctx context.Context) error {
	root, err := output(ctx, "..", nil, "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return fmt.Errorf("find go.mod: run me as go -C release run . (%w)", err)
	}
	r.root = root
	if r.commit, err = output(ctx, root, nil, "git", "rev-parse", "HEAD"); err != nil {
		return fmt.Errorf("a release is made in a clone: %w", err)
	}
	seconds, err := output(ctx, root, nil, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return err
	}
	r.when = time.Unix(unix, 0).UTC()
	if r.tag == "" {
		r.tag = "v0.0.0-dev." + r.when.Format("20060102150405")
	}
	if !versionRule.MatchString(r.tag) {
		return fmt.Errorf("-version %q is not as v1.2.3 or v1.2.3-rc.1 (alpha, beta, rc, dev)", r.tag)
	}
	return nil
}

// version is the version without v, as package managers write it.
func (r *release) version() string { return strings.TrimPrefix(r.tag, "v") }

// file is a path in the release, by its elements.
func (r *release) file(elements ...string) string {
	return filepath.Join(append([]string{r.dist}, elements...)...)
}

// write writes a file of the release.
func (r *release) write(content []byte, elements ...string) error {
	path := r.file(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// replace puts a new folder where an earlier run's may be, and nothing else.
func replace(made, out string) error {
	entries, err := os.ReadDir(out)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if _, err := os.Stat(filepath.Join(out, sumsName)); err != nil && len(entries) > 0 {
		return fmt.Errorf("%s is no folder that a release made (it lacks %s): remove it, or name another with -out", out, sumsName)
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	return os.Rename(made, out)
}

// output runs a command in a folder, with more variables, and gives what it prints.
func output(ctx context.Context, dir string, variables []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), variables...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
