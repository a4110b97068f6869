package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestColdPackages checks that each pattern is of a package of the program.
func TestColdPackages(t *testing.T) {
	root, err := output(t.Context(), "..", nil, "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		t.Fatal(err)
	}
	packages, err := output(t.Context(), root, nil, "go", "list", "-deps", ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range cold {
		prefix, tree := strings.CutSuffix(pattern, "/...")
		if prefix != "." && !slices.ContainsFunc(strings.Fields(packages), func(p string) bool { return p == prefix || tree && strings.HasPrefix(p, prefix+"/") }) {
			t.Errorf("%s is no package of the program: remove it from cold", pattern)
		}
	}
}

// TestCheckSize checks that a program which is too large stops the release.
func TestCheckSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubbi-mcp")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for size, ok := range map[int64]bool{maxBinary: true, maxBinary + 1: false} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if err := checkSize(platforms[0], path); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestSizes compares the table of sizes in docs/install.md with a release.
func TestSizes(t *testing.T) {
	dist := madeRelease(t)
	page := string(read(t, "..", "docs", "install.md"))
	for _, p := range platforms {
		suffix, program := ".tar.gz", programInTar
		if p.os == "windows" {
			suffix, program = ".zip", programInZip
		}
		found, err := filepath.Glob(filepath.Join(dist, "*_"+p.String()+suffix))
		if err != nil || len(found) != 1 {
			t.Fatalf("archives for %s: %q, %v", p, found, err)
		}
		archive, err := os.Stat(found[0])
		if err != nil {
			t.Fatal(err)
		}
		size, err := program(found[0])
		if err != nil || size == 0 || size > maxBinary {
			t.Errorf("%s: the program has %d bytes, %v", p, size, err)
		}
		var documented [2]float64
		_, row, _ := strings.Cut(page, "\n| "+p.os+"/"+p.arch+" | ")
		if _, err := fmt.Sscanf(row, "%f | %f |", &documented[0], &documented[1]); err != nil {
			t.Errorf("docs/install.md has no sizes for %s: %v", p, err)
		}
		for i, bytes := range []int64{size, archive.Size()} {
			if now := float64(bytes) / 1e6; now < documented[i]-0.5 || now > documented[i]+0.5 {
				t.Errorf("docs/install.md says %.1f MB for %s, and it is %.1f MB", documented[i], p, now)
			}
		}
	}
}

func programInTar(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return 0, err
	}
	for all := tar.NewReader(z); ; {
		h, err := all.Next()
		if err != nil {
			return 0, err
		}
		if filepath.Base(h.Name) == "kubbi-mcp" && h.Typeflag == tar.TypeReg {
			return h.Size, nil
		}
	}
}

func programInZip(path string) (int64, error) {
	all, err := zip.OpenReader(path)
	if err != nil {
		return 0, err
	}
	defer all.Close()
	for _, f := range all.File {
		if f.Name == "kubbi-mcp.exe" {
			return int64(f.UncompressedSize64), nil
		}
	}
	return 0, os.ErrNotExist
}
