//go:build linux

package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// buildFlags are those of a release, for every program.
var buildFlags = []string{"-trimpath", "-ldflags=-s -w"}

func (s *suite) experiment() string {
	if s.jsonv2 {
		return "jsonv2"
	}
	return ""
}

// prepare builds what is measured, and checks what it was given.
func (s *suite) prepare(bin, before string) (err error) {
	if before != "" {
		s.builds = append(s.builds, build{"before", before})
	}
	if bin == "" {
		if bin, err = s.compile("kubbi-mcp"); err != nil {
			return err
		}
	}
	s.builds = append(s.builds, build{"now", bin})
	if s.echo, err = s.compile("kubbi-mcp/systemtest/bench"); err != nil {
		return err
	}
	for _, b := range s.builds {
		if err := s.checkBuild(b.path); err != nil {
			return err
		}
	}
	if s.yopass == "" {
		note("no comparison with yopass: -yopass does not name a yopass-server")
		return nil
	}
	return s.checkBuild(s.yopass)
}

func (s *suite) compile(pkg string) (string, error) {
	out := filepath.Join(s.dir, filepath.Base(pkg))
	cmd := exec.CommandContext(s.ctx, "go", append(append([]string{"build"}, buildFlags...), "-o", out, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT="+s.experiment())
	if log, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, log)
	}
	return out, nil
}

// checkBuild refuses a binary that was built with another engine for JSON, or
// with C: its figures would not compare.
func (s *suite) checkBuild(path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	got := map[string]string{}
	for _, v := range info.Settings {
		got[v.Key] = v.Value
	}
	if got["GOEXPERIMENT"] != s.experiment() || got["CGO_ENABLED"] != "0" || got["-trimpath"] != "true" {
		return fmt.Errorf("%s was built with GOEXPERIMENT=%q CGO_ENABLED=%s; build it as the others are: CGO_ENABLED=0 GOEXPERIMENT=%s go build -trimpath -ldflags='-s -w'",
			path, got["GOEXPERIMENT"], got["CGO_ENABLED"], s.experiment())
	}
	return nil
}
