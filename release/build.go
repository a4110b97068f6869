package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
)

// platform is what a binary runs on, in Go's words.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "_" + p.arch }

// exe is the name of the program's file.
func (p platform) exe(name string) string {
	if p.os == "windows" {
		return name + ".exe"
	}
	return name
}

// platforms are all that a release is made for.
var platforms = []platform{
	{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

// manifest is what `kubbi-mcp manifest --json` prints; cli/manifest.go describes it.
type manifest struct {
	Name, Title, Version, Module, Description, About string

	Tools    []struct{ Name, Title, Description string }
	Settings []setting
	Commands []struct {
		Words     []string
		Help      string
		Default   bool
		Arguments []struct{ Usage, Help string }
		Flags     []setting
	}
	ExitCodes string `json:"exit_codes"`
}

// setting is a flag and its environment variable.
type setting struct {
	Name, Short, Variable, Type, Value, Default, Title, Help string
	Repeatable                                               bool
}

// variables are those of a build for the platform: static, with the fast JSON engine.
func (p platform) variables() []string {
	return []string{"CGO_ENABLED=0", "GOEXPERIMENT=jsonv2", "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-mod=readonly", "GOOS=" + p.os, "GOARCH=" + p.arch}
}

// maxBinary is the most bytes that the program may have on any platform.
const maxBinary = 25_000_000

// cold are packages in which the compiler inlines nothing, which saves 1.5 MB. The time of a
// handoff is spent elsewhere: in the runtime, JSON, ciphers and SQLite. go build, as developers
// call it, inlines everywhere.
var cold = []string{
	"archive/zip", "crypto/tls", "crypto/x509/...", "database/sql/...", "encoding/asn1", "encoding/xml", "go/...", "html/template", "mime/...", "net/...", "regexp/...", "text/...",
	"github.com/VictoriaMetrics/...", "github.com/adrg/...", "github.com/alecthomas/...", "github.com/gabriel-vasile/...", "github.com/google/jsonschema-go/...",
	"github.com/jackc/pgx/v5/pgconn/...", "github.com/jackc/pgx/v5/pgtype", "github.com/jackc/pgx/v5/pgxpool", "github.com/jackc/puddle/...",
	"github.com/lmittmann/...", "github.com/mark3labs/...", "github.com/pelletier/...", "github.com/santhosh-tekuri/...", "github.com/spf13/...",
	"github.com/tailscale/...", "github.com/yosida95/...", "golang.org/x/text/...", "./...",
}

func (r *release) buildFlags() []string {
	// Without -buildvcs: the commit is in the provenance, and a build from an archive of the
	// sources makes the same binary. Functions begin at multiples of 16 bytes, not of 32 as
	// on amd64 otherwise.
	flags := []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w -funcalign=16 -X kubbi-mcp/cli.version=" + r.tag}
	for _, pattern := range cold {
		flags = append(flags, "-gcflags="+pattern+"=-l")
	}
	return flags
}

// checkSize returns an error for a program that is too large.
func checkSize(p platform, path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= maxBinary {
		return err
	}
	return fmt.Errorf("the program for %s has %d bytes, and may have %d: find what has grown with "+
		"go build -o /tmp/kubbi-mcp . && go tool nm -size -sort size /tmp/kubbi-mcp, "+
		"and do without it, or add its package to cold in release/build.go if no handoff spends time there", p, info.Size(), maxBinary)
}

// build builds the binaries, and asks the one for this machine what it is.
func (r *release) build(ctx context.Context) error {
	r.binaries = map[platform]string{}
	g, building := errgroup.WithContext(ctx)
	g.SetLimit(2) // the linker uses one processor
	for _, p := range platforms {
		path := filepath.Join(r.work, p.String(), p.exe("kubbi-mcp"))
		r.binaries[p] = path
		g.Go(func() error {
			args := append(append([]string{"build"}, r.buildFlags()...), "-o", path, ".")
			if _, err := output(building, r.root, p.variables(), "go", args...); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			return checkSize(p, path)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	text, err := r.ask(ctx, "manifest", "--json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), &r.about); err != nil {
		return fmt.Errorf("manifest --json: %w", err)
	}
	if r.about.Version != r.tag {
		return fmt.Errorf("the binary says that it is version %s, not %s", r.about.Version, r.tag)
	}
	return r.nameHome()
}

// ask runs the binary for this machine.
func (r *release) ask(ctx context.Context, args ...string) (string, error) {
	path, ok := r.binaries[platform{runtime.GOOS, runtime.GOARCH}]
	if !ok {
		return "", fmt.Errorf("no release is made for %s/%s, where this runs", runtime.GOOS, runtime.GOARCH)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"HOME=" + r.work, "LOCALAPPDATA=" + r.work}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubbi-mcp %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}
