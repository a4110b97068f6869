package consent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStore adds, looks up and revokes consents through two stores of one file, as two
// processes do.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data") // it does not exist yet
	folder, project := filepath.Join(dir, "work"), filepath.Join(dir, "project")
	one, other := NewStore(data), NewStore(data)
	if all, err := one.List(); err != nil || all != nil {
		t.Fatalf("before the first: %v, %v", all, err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("List makes a folder")
	}
	for range 2 { // it is there once
		if err := one.Add(Consent{Folder: folder, Access: Read, Project: project, AllowedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := other.List(); err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, tt := range []struct {
		folder  string
		access  Access
		project string
		want    bool
	}{
		{folder, Read, project, true},
		{filepath.Join(folder, "sub"), Read, project, true},
		{folder + "2", Read, project, false},
		{dir, Read, project, false},
		{folder, Write, project, false},
		{folder, Read, dir, false},
	} {
		if got, err := other.Allows(tt.folder, tt.access, tt.project); err != nil || got != tt.want {
			t.Errorf("%+v: %v, %v", tt, got, err)
		}
	}
	file := filepath.Join(data, "folders.json")
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	revoked, err := other.Revoke(func(c Consent) bool { return c.Access == Read })
	if err != nil || len(revoked) != 1 || revoked[0].Folder != folder {
		t.Errorf("revoked %v, %v", revoked, err)
	}
	if got, err := one.Allows(folder, Read, project); err != nil || got {
		t.Errorf("after it was revoked: %v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte(`{"version":2,"folders":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"add": one.Add(Consent{Folder: folder}), "list": func() error { _, err := one.List(); return err }()} {
		if err == nil || !strings.Contains(err.Error(), "not a file of this version") {
			t.Errorf("%s with another version: %v", name, err)
		}
	}
}

// TestConcurrentAdds has several processes add at once: no consent is lost. If there are too
// many, the oldest go.
func TestConcurrentAdds(t *testing.T) {
	dir := t.TempDir()
	var adding sync.WaitGroup
	for i := range 8 {
		adding.Go(func() {
			if err := NewStore(dir).Add(Consent{Folder: fmt.Sprintf("/%d", i), Access: Read, AllowedAt: time.Unix(int64(i), 0)}); err != nil {
				t.Error(err)
			}
		})
	}
	adding.Wait()
	s := NewStore(dir)
	all, err := s.List()
	if err != nil || len(all) != 8 || all[0].Folder != "/0" {
		t.Fatalf("%v, %v", all, err)
	}
	long := strings.Repeat("x", 4000)
	err = s.edit(func(all []Consent) []Consent {
		for i := range 2 * maxConsents {
			all = append(all, Consent{Folder: fmt.Sprintf("/%s/%d", long, i), AllowedAt: time.Unix(int64(100+i), 0)})
		}
		return all
	})
	if err != nil {
		t.Fatal(err)
	}
	if all, err = s.List(); err != nil || len(all) == 0 || len(all) > maxConsents || !strings.HasSuffix(all[len(all)-1].Folder, "/1999") {
		t.Errorf("%d are left, %v", len(all), err)
	}
}
