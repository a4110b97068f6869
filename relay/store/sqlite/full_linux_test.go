package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// smallDisks are the ways to get a disk of 128 MiB.
var smallDisks = map[string]func(t *testing.T, dir string) error{
	"tmpfs": func(t *testing.T, dir string) error {
		return run("mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", dir)
	},
	"ext4": func(t *testing.T, dir string) error {
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			return err
		}
		if err := os.Truncate(image, 128<<20); err != nil {
			return err
		}
		return errors.Join(run("mkfs.ext4", "-q", "-m", "0", image), run("mount", "-o", "loop", image, dir))
	},
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}

func smallDisk(t *testing.T, mount func(*testing.T, string) error) string {
	t.Helper()
	dir := t.TempDir()
	if err := mount(t, dir); err != nil {
		if os.Getenv("KUBBI_CI") != "" && os.Getuid() == 0 && strings.Contains(err.Error(), "tmpfs") {
			t.Fatal(err)
		}
		t.Skipf("no small disk can be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := run("umount", "-l", dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk writes a file until nothing more fits.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{1 << 20, 4096, 512, 1} {
		for block := make([]byte, n); ; {
			if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = f.Sync()
}

// On a disk without a free byte only creates fail, and their error says why. When there
// is space again, they succeed.
func TestFullDisk(t *testing.T) {
	testkit.OnlyPlain(t, "the disk is tested, and one disk after the other")
	for name, mount := range smallDisks {
		for _, sudden := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", suddenly ", sudden), func(t *testing.T) {
				testFullDisk(t, smallDisk(t, mount), sudden)
			})
		}
	}
}

func testFullDisk(t *testing.T, dir string, sudden bool) {
	path := filepath.Join(dir, "kubbi.db")
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	create := func(size int) (*store.Kubbi, error) {
		k := newKubbi(1)
		k.Notify = []byte("somebody")
		_, err := s.Create(t.Context(), k, bytesOf(make([]byte, size)), nil, store.Quota{}, t0)
		return k, err
	}
	var made []*store.Kubbi
	var full error
	for i := 0; full == nil && (!sudden || i < 1500); i++ {
		size := 2000
		if i%100 == 0 {
			size = 400 << 10
		}
		var k *store.Kubbi
		if k, full = create(size); full == nil {
			made = append(made, k)
		}
	}
	ballast := filepath.Join(dir, "ballast")
	fillDisk(t, ballast)
	if _, err := create(10); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "MiB are free and 32 MiB are kept in reserve") {
		t.Fatalf("create on a full disk: %v", err)
	}
	if !sudden && !errors.Is(full, store.ErrFull) {
		t.Fatalf("create up to the reserve: %v", full)
	}
	if len(made) < 1000 {
		t.Fatalf("only %d kubbis were made", len(made))
	}
	end := func(part []*store.Kubbi) {
		t.Helper()
		for i, k := range part {
			var err error
			switch i % 3 {
			case 0:
				_, err = s.Claim(t.Context(), k.Token, nil, nil, t0)
			case 1:
				key := &store.ClaimKey{Key: randomHash(), Grace: time.Minute}
				if _, err = s.Claim(t.Context(), k.Token, key, nil, t0); err == nil {
					err = s.Release(t.Context(), k.Token, key.Key, t0)
				}
			case 2:
				_, err = s.Delete(t.Context(), k.Owner, k.ID, t0)
			}
			if err != nil {
				t.Fatalf("the end of kubbi %d of %d on a full disk: %v", i, len(part), err)
			}
			if i%50 == 0 {
				fillDisk(t, ballast) // whatever that has freed
			}
		}
	}
	end(made[:min(len(made)/2, 1500)])
	made = made[min(len(made)/2, 1500):]
	// Also after a restart.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, ballast)
	if s, err = sqlite.Open(t.Context(), sqlite.Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, ballast)
	end(made[:600])
	for more := true; more; {
		swept, err := s.Sweep(t.Context(), t0.Add(2*time.Hour), 0, 500)
		if err != nil {
			t.Fatalf("sweep on a full disk: %v", err)
		}
		more = swept.More
	}
	if st, err := s.Stats(t.Context()); err != nil || st.Active+st.Expired+st.Burned+st.Deleted != 0 {
		t.Errorf("%+v, error %v", st, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	k, err := create(400 << 10)
	if err != nil {
		t.Fatalf("create with room again: %v", err)
	}
	if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
		t.Fatal(err)
	}
}
