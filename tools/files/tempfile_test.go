package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBatchWithAndWithoutNames writes in every way: with files without a name before Commit,
// where the system has them, and with temporary names, on file systems with and without
// links. The result is the same.
func TestBatchWithAndWithoutNames(t *testing.T) {
	for _, lacks := range []struct{ unnamed, links bool }{{}, {unnamed: true}, {links: true}, {unnamed: true, links: true}} {
		for name, tc := range map[string]struct {
			there     map[string]string
			overwrite bool
			as        string   // of NewBatchAt
			files     []string // each holds its name
			want      string   // what is in the folder then
			wrong     string
		}{
			"new":               {nil, false, "", []string{"a", "b"}, "a=a b=b", ""},
			"the same is there": {map[string]string{"a": "a"}, false, "", []string{"a", "b"}, "a=a b=b", ""},
			"another is there":  {map[string]string{"b": "old"}, false, "", []string{"a", "b"}, "b=old", "is there already"},
			"to be replaced":    {map[string]string{"b": "old", "c": "stays"}, true, "", []string{"a", "b"}, "a=a b=b c=stays", ""},
			"as a file":         {nil, false, "one.txt", []string{"a"}, "one.txt=a", ""},
			"as a folder":       {nil, false, "sub", []string{"a", "b"}, "sub=", ""},
			"replaced as one":   {map[string]string{"one.txt": "old"}, true, "one.txt", []string{"a"}, "one.txt=a", ""},
		} {
			dir := t.TempDir()
			for there, text := range tc.there {
				if err := os.WriteFile(filepath.Join(dir, there), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := NewBatch(dir, tc.overwrite)
			if tc.as != "" {
				b.Close()
				b, err = NewBatchAt(filepath.Join(dir, tc.as), tc.overwrite)
			}
			if err != nil {
				t.Fatal(err)
			}
			b.noUnnamed, b.noLinks = lacks.unnamed, lacks.links
			for _, f := range tc.files {
				if err := b.Stage(t.Context(), f, strings.NewReader(f)); err != nil {
					t.Fatal(err)
				}
			}
			before, can := holding(t, dir), b.staged[0].file != nil
			if can == strings.Contains(before, tempPrefix) {
				t.Errorf("%s: before Commit there is %q", name, before)
			}
			_, err = b.Commit()
			if (err == nil) != (tc.wrong == "") || err != nil && !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("%s: %v", name, err)
			}
			if err := b.Close(); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
			if got := holding(t, dir); got != tc.want {
				t.Errorf("%s, lacks %+v: there is %q, want %q", name, lacks, got, tc.want)
			}
			if tc.as == "sub" {
				if got := holding(t, filepath.Join(dir, "sub")); got != "a=a b=b" {
					t.Errorf("%s, lacks %+v: in it is %q", name, lacks, got)
				}
			}
		}
	}
}

// TestStageThatFails checks that a failed Stage and a closed batch leave nothing.
func TestStageThatFails(t *testing.T) {
	for _, noUnnamed := range []bool{false, true} {
		dir := t.TempDir()
		b, err := NewBatch(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		b.noUnnamed = noUnnamed
		if err := b.Stage(t.Context(), "whole", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if err := b.Stage(t.Context(), "half", brokenReader{}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("stage: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if got := holding(t, dir); got != "" {
			t.Errorf("there is %q", got)
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, fs.ErrInvalid }
