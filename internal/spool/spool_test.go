package spool

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/iotest"
)

func filled(t *testing.T, dir string, data []byte) *Spool {
	t.Helper()
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(400<<10))
		if _, err := s.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{
		0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, 3*chunkSize + 17,
		maxMemory, maxMemory + 1, maxMemory + 3*chunkSize + 17,
	} {
		data := make([]byte, size)
		random.Read(data)
		dir := t.TempDir()
		s := filled(t, dir, data)
		if s.Len() != int64(size) {
			t.Errorf("length %d, want %d", s.Len(), size)
		}
		if size < maxMemory { // it takes long
			if err := iotest.TestReader(io.NewSectionReader(s, 0, int64(size)), data); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		for _, from := range []int64{0, int64(size / 3), int64(size - size/10)} {
			got, err := io.ReadAll(io.NewSectionReader(s, from, int64(size)))
			if err != nil || !bytes.Equal(got, data[from:]) {
				t.Errorf("%d bytes from %d: %v", size, from, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%d files left", len(left))
		}
		if _, err := s.Write([]byte("x")); err == nil {
			t.Error("a closed spool takes more")
		}
		if _, err := s.ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("a closed spool gives something")
		}
		if err := s.Close(); err != nil {
			t.Errorf("close again: %v", err)
		}
	}
}

// TestFile checks that the file holds nothing readable, and that a changed file is not
// read.
func TestFile(t *testing.T) {
	data := bytes.Repeat([]byte("the quick brown fox "), (maxMemory+1<<20)/20)
	s := filled(t, t.TempDir(), data)
	info, err := s.file.Stat()
	if err != nil || info.Size() < chunkSize {
		t.Fatalf("the file has %d bytes, %v", info.Size(), err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	raw := make([]byte, info.Size())
	if _, err := s.file.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("the quick brown fox")) {
		t.Error("the file can be read")
	}
	raw[chunkSize+tagSize] ^= 1
	if _, err := s.file.WriteAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Len())); err == nil || len(got) > len(s.memory)*chunkSize+chunkSize {
		t.Errorf("a changed file gives %d bytes, %v", len(got), err)
	}
}

// TestTruncate writes a spool again, like the next attempt of a claim.
func TestTruncate(t *testing.T) {
	dir := t.TempDir()
	s, err := NewFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first, second := bytes.Repeat([]byte("first"), chunkSize), bytes.Repeat([]byte("second"), chunkSize/4)
	for _, data := range [][]byte{first, second, first} {
		if err := s.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(data); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(io.NewSectionReader(s, 0, 1<<30)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes read, want %d, %v", len(got), len(data), err)
		}
	}
	if s.Truncate(1) == nil {
		t.Error("truncated to a part")
	}
	if _, err := NewFile(filepath.Join(dir, "missing")); err == nil {
		t.Error("a file was made in a folder that is not there")
	}
}
