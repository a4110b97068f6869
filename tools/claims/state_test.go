package claims

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/tools/files"
)

// staged is a batch that has written a file and not committed it.
func staged(t *testing.T, dir string) *files.Batch {
	t.Helper()
	b, err := files.NewBatch(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if err := b.Stage(context.Background(), "a.txt", strings.NewReader("s3cr3t")); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSweepJournal starts a process while a second one saves, after a third one has died
// while it saved into the same folder: the half file of the third one is removed, and that of
// the second one is not.
func TestSweepJournal(t *testing.T) {
	dir, top := t.TempDir(), t.TempDir()
	live, dead := staged(t, dir), staged(t, dir)
	ended, err := NewState(top).journal(live)
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(journalEntry{Folder: dir, ID: dead.ID()})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := json.Marshal(journalEntry{Folder: filepath.Join(dir, "gone"), ID: "ABCDEFGHABCDEFGH"})
	if err != nil {
		t.Fatal(err)
	}
	unplugged, err := json.Marshal(journalEntry{Folder: filepath.Join(dir, "drive", "folder"), ID: "BBCDEFGHABCDEFGH"})
	if err != nil {
		t.Fatal(err)
	}
	saves := filepath.Join(top, journalFolder)
	for name, text := range map[string]string{
		dead.ID(): string(record), "ABCDEFGHABCDEFGH": string(gone), "BBCDEFGHABCDEFGH": string(unplugged), "CBCDEFGHABCDEFGH": "", "DBCDEFGHABCDEFGH": string(record),
	} {
		if err := os.WriteFile(filepath.Join(saves, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A user's own files stay, whatever they are called.
	own := filepath.Join(dir, ".kubbi-"+dead.ID()+".tmp")
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	half := func(id string) string { // as on a system that has no files without a name
		path := filepath.Join(dir, ".kubbi-"+id+"ABCDEFGHIJ.tmp")
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ofLive, ofDead := half(live.ID()), half(dead.ID())
	NewState(top).Sweep()
	got := strings.Join(testkit.FilesIn(t, dir), " ")
	if !strings.Contains(got, filepath.Base(own)) || !strings.Contains(got, filepath.Base(ofLive)) || strings.Contains(got, filepath.Base(ofDead)) {
		t.Errorf("in the folder: %v; live %s, dead %s", got, live.ID(), dead.ID())
	}
	if got := testkit.FilesIn(t, saves); len(got) != 2 { // the live one, and that on a drive
		t.Errorf("records: %v", got)
	}
	if saved, err := live.Commit(); err != nil || len(saved) != 1 {
		t.Errorf("%v, %v", saved, err)
	}
	ended()
	if _, err := os.Stat(filepath.Join(saves, live.ID())); err == nil {
		t.Error("the record of a save that has ended is left")
	}
	empty := t.TempDir()
	if NewState(empty).Sweep(); len(testkit.FilesIn(t, empty)) != 0 {
		t.Error("a sweep makes files")
	}
}

// TestSpoolOnDisk reads the disk while an answer is received: nothing in the data directory
// is in the clear, and what an older version left is gone.
func TestSpoolOnDisk(t *testing.T) {
	top := t.TempDir()
	old := filepath.Join(top, spoolFolder, "claim-1.json")
	if err := os.Mkdir(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, []byte("s3cr3t"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewState(top).spool()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write([]byte(strings.Repeat("s3cr3t", 200_000))); err != nil {
		t.Fatal(err)
	}
	for _, path := range testkit.FilesIn(t, top) { // on Windows there is one
		if b, err := os.ReadFile(path); err != nil || strings.Contains(string(b), "s3cr3t") || path == old {
			t.Errorf("%s can be read, %v", path, err)
		}
	}
}
