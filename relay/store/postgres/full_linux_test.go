package postgres_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"kubbi-mcp/relay/store/postgres/pgtest"
)

// TestDiskIsFull gives the server a small disk of its own, and fills it twice:
// a server that can't write its log crashes, and may stay down until somebody
// starts it again.
func TestDiskIsFull(t *testing.T) {
	disk := smallDisk(t, "96m")
	own := &pgtest.Cluster{Dir: disk, Settings: []string{"fsync = on", "min_wal_size = 32MB", "max_wal_size = 32MB", "checkpoint_timeout = 30s"}}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := own.Database(t)
	l := startLoad(t, 20_000, openStore(t, url), openStore(t, url))
	for range 2 {
		before := l.done()
		wait(t, "work to go on", func() bool { return l.done() > before+20 })
		ballast := filepath.Join(disk, "ballast")
		fill(t, ballast)
		failed := l.failed()
		wait(t, "calls to fail", func() bool { return l.failed() >= failed+16 })
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if err := own.Revive(); err != nil {
			t.Fatal(err)
		}
	}
	l.finish(t)
}

// smallDisk mounts a file system of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kubbi-disk-") // not in t.TempDir, which only this user may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := syscall.Mount("none", dir, "tmpfs", 0, "mode=0777,size="+size); err != nil {
		message := "a small disk can't be mounted here: " + err.Error()
		if os.Getenv("KUBBI_CI") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(bytes.Repeat([]byte{1}, size)); err != nil {
			size /= 2
		}
	}
}
