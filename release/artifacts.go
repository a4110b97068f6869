package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"
)

// keywords are what a package is found by.
var keywords = []string{"mcp", "mcp-server", "agents", "handoff", "secrets", "kubbi"}

// makeArtifacts makes all that holds binaries, side by side.
func (r *release) makeArtifacts(context.Context) error {
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	g.Go(r.makeBundle) // the largest first
	g.Go(r.makeImage)
	g.Go(r.makeNode)
	g.Go(r.makePlugins)
	for _, p := range platforms {
		if p.os == "linux" {
			g.Go(func() error { return r.makePackages(p) })
		}
		g.Go(func() error { return r.makeArchive(p) })
		g.Go(func() error { return r.makeWheel(p) })
	}
	return g.Wait()
}

// artifact is a file of the release.
type artifact struct {
	name   string // with slashes
	size   int64
	sha256 string // in hex
}

// artifacts are all files of a release's folder, by name.
func artifacts(folder string) (all []artifact, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		all = append(all, artifact{filepath.ToSlash(rel), int64(len(b)), hex.EncodeToString(sum[:])})
		return nil
	})
	slices.SortFunc(all, func(a, b artifact) int { return cmp.Compare(a.name, b.name) })
	return all, err
}

// sha256Of is the checksum of a file of the release.
func (r *release) sha256Of(name string) (string, error) {
	b, err := os.ReadFile(r.file(name))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// printSizes prints a table of the binaries and of all files.
func printSizes(folder string, binaries map[platform]string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, p := range platforms {
		info, err := os.Stat(binaries[p])
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%.1f MB\t  binary %s\n", float64(info.Size())/1e6, p)
	}
	all, err := artifacts(folder)
	if err != nil {
		return err
	}
	for _, a := range all {
		fmt.Fprintf(w, "%.1f MB\t  %s\n", float64(a.size)/1e6, a.name)
	}
	return w.Flush()
}
