package body_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/flock"
	"kubbi-mcp/relay/store/body"
)

var id = body.ID{1, 2, 3}

func open(t *testing.T, path string) *body.Slots {
	t.Helper()
	s, err := body.OpenSlots(path, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func fresh(t *testing.T) (string, *body.Slots) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slots")
	if err := body.CreateSlots(path, id); err != nil {
		t.Fatal(err)
	}
	return path, open(t, path)
}

func secret(number int64) (s body.Secret) {
	rand.Read(s[:])
	binary.BigEndian.PutUint64(s[24:], uint64(number))
	return s
}

// allocate is a transaction that allocates slots for numbers.
func allocate(t *testing.T, s *body.Slots, numbers ...int64) []int64 {
	t.Helper()
	s.Begin()
	var slots []int64
	for _, n := range numbers {
		sec := secret(n)
		slot, err := s.Allocate(n, &sec)
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, slot)
	}
	if err := errors.Join(s.Write(), s.Sync()); err != nil {
		t.Fatal(err)
	}
	return slots
}

func there(t *testing.T, s *body.Slots, slot, number int64) bool {
	t.Helper()
	sec, there, err := s.Read(slot, number)
	if err != nil {
		t.Fatal(err)
	}
	if there && binary.BigEndian.Uint64(sec[24:]) != uint64(number) {
		t.Errorf("slot %d of %d has another's secret", slot, number)
	}
	return there
}

// No slot is allocated twice while it is in use, while the file grows and in several rounds
// through it. Free slots are used again.
func TestSlots(t *testing.T) {
	path, s := fresh(t)
	used := map[int64]int64{} // number by slot
	next := int64(1)
	for round := range 60 {
		var numbers []int64
		for range 500 {
			numbers = append(numbers, next)
			next++
		}
		for i, slot := range allocate(t, s, numbers...) {
			if n, twice := used[slot]; twice {
				t.Fatalf("slot %d of %d is given to %d", slot, n, numbers[i])
			}
			used[slot] = numbers[i]
		}
		if round%2 == 1 {
			n := 0
			for slot, number := range used {
				if err := s.Clear(body.Used{Slot: slot, Number: number}); err != nil {
					t.Fatal(err)
				}
				if there(t, s, slot, number) {
					t.Fatalf("slot %d is not cleared", slot)
				}
				delete(used, slot)
				if n++; n == 500 {
					break
				}
			}
		}
	}
	for slot, number := range used {
		if !there(t, s, slot, number) {
			t.Fatalf("slot %d has lost the secret of %d", slot, number)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := info.Size() / 40; n > 64<<10 {
		t.Errorf("the file has %d slots for at most %d in use", n, len(used)+1000)
	}
	seen := 0
	for from := int64(1); from != 0; {
		found, more, err := s.Scan(from, 777)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range found {
			if used[u.Slot] != u.Number {
				t.Errorf("slot %d is said to be used by %d", u.Slot, u.Number)
			}
			seen++
		}
		from = more
	}
	if seen != len(used) {
		t.Errorf("%d slots are found, want %d", seen, len(used))
	}
	for slot, number := range used {
		if err := s.Clear(body.Used{Slot: slot, Number: number}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Shrink(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || after.Size() >= info.Size() {
		t.Errorf("the file has %d bytes after it was emptied, %d before, error %v", after.Size(), info.Size(), err)
	}
	if slots := allocate(t, s, next, next+1); !there(t, s, slots[0], next) || !there(t, s, slots[1], next+1) {
		t.Error("nothing is kept after the file was made shorter")
	}
}

// A failed transaction leaves nothing.
func TestUndo(t *testing.T) {
	path, s := fresh(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Begin()
	for n := range int64(100) {
		sec := secret(n + 1)
		slot, err := s.Allocate(n+1, &sec)
		if err != nil {
			t.Fatal(err)
		}
		if got, there, err := s.ReadAllocated(slot, n+1); err != nil || !there || got != sec {
			t.Fatalf("allocated: %v, %v", there, err)
		}
		if n == 50 {
			s.Unallocate()
		}
	}
	if err := errors.Join(s.Write(), s.Undo()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file is another, error %v", err)
	}
}

// A slot is cleared only for the kubbi that has it.
func TestClearAnothers(t *testing.T) {
	_, s := fresh(t)
	slots := allocate(t, s, 5)
	for _, c := range [][2]int64{{slots[0], 6}, {slots[0], 0}, {0, 5}, {-1, 5}, {1 << 50, 5}, {slots[0] + 1, 5}} {
		if err := s.Clear(body.Used{Slot: c[0], Number: c[1]}); err != nil {
			t.Error(err)
		}
	}
	if !there(t, s, slots[0], 5) {
		t.Error("it is gone")
	}
	if there(t, s, slots[0], 6) || there(t, s, 0, 5) || there(t, s, 1<<60, 5) {
		t.Error("another slot is taken for it")
	}
}

func TestOpenSlots(t *testing.T) {
	path, _ := fresh(t)
	if _, err := body.OpenSlots(path, body.ID{9}); !errors.Is(err, body.ErrSlots) {
		t.Errorf("of another store: %v", err)
	}
	if _, err := body.OpenSlots(path+"x", id); !errors.Is(err, body.ErrSlots) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := body.OpenSlots(path, id); !errors.Is(err, body.ErrSlots) {
		t.Errorf("cut: %v", err)
	}
}

const childEnv = "KUBBI_BODY_CHILD"

// TestMain runs the test binary as a process that allocates slots under a lock, if childEnv
// is set.
func TestMain(m *testing.M) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := allocator(dir, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func allocator(dir, first string) error {
	s, err := body.OpenSlots(filepath.Join(dir, "slots"), id)
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return err
	}
	for range 300 {
		if err := flock.Block(lock); err != nil {
			return err
		}
		s.Begin()
		for range 20 {
			sec := secret(n)
			slot, err := s.Allocate(n, &sec)
			if err != nil {
				return err
			}
			fmt.Println(slot, n)
			n++
		}
		if err := errors.Join(s.Write(), flock.Unlock(lock)); err != nil {
			return err
		}
	}
	return nil
}

// Two processes never allocate the same slot.
func TestProcesses(t *testing.T) {
	path, s := fresh(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var outs [3]bytes.Buffer
	var cmds []*exec.Cmd
	for i := range outs {
		cmd := exec.CommandContext(t.Context(), exe, strconv.Itoa(1_000_000*(i+1)))
		cmd.Env = append(os.Environ(), childEnv+"="+filepath.Dir(path))
		cmd.Stdout, cmd.Stderr = &outs[i], os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	lines := 0
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(outs[i].String()) {
			var slot, number int64
			if _, err := fmt.Sscan(line, &slot, &number); err != nil {
				t.Fatal(err)
			}
			if !there(t, s, slot, number) {
				t.Fatalf("slot %d of %d was given to another", slot, number)
			}
			lines++
		}
	}
	if lines != 3*300*20 {
		t.Errorf("%d slots", lines)
	}
}

func TestFiles(t *testing.T) {
	f, err := body.OpenFiles(filepath.Join(t.TempDir(), "bodies"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Create(7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Create(7); !errors.Is(err, body.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if _, err := io.WriteString(w, "sealed"); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	never := func() (bool, error) { return false, nil }
	old := time.Now().Add(-time.Hour)
	numbers, err := f.Numbers()
	if err != nil || fmt.Sprint(numbers) != "[7]" {
		t.Errorf("numbers %v, error %v", numbers, err)
	}
	if gone, err := f.Sweep(7, never); gone || err != nil {
		t.Errorf("one that is being written was swept: %v, %v", gone, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(7, 6)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range [][2]int64{{7, 5}, {7, 7}, {8, 6}} {
		if _, err := f.Open(c[0], c[1]); !errors.Is(err, body.ErrShort) {
			t.Errorf("open %v: %v", c, err)
		}
	}
	if err := os.Chtimes(r.Name(), old, old); err != nil {
		t.Fatal(err)
	}
	if gone, err := f.Sweep(7, func() (bool, error) { return true, nil }); gone || err != nil {
		t.Errorf("one that is wanted was swept: %v, %v", gone, err)
	}
	r.Close()
	if gone, err := f.Sweep(7, never); !gone || err != nil {
		t.Errorf("one that nobody wants: %v, %v", gone, err)
	}
	if w, err = f.Create(9); err != nil {
		t.Fatal(err)
	}
	if err := w.Discard(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Remove(9); err != nil {
			t.Error(err)
		}
	}
	if numbers, err := f.Numbers(); err != nil || len(numbers) != 0 {
		t.Errorf("numbers %v, error %v", numbers, err)
	}
}
