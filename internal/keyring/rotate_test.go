//go:build unix

package keyring_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kubbi-mcp/internal/keyring"
)

// rotation rotates a new file each hour. made and removed are the arguments of its calls.
func rotation(t *testing.T) (r *keyring.Rotation, made, removed *[]string) {
	t.Helper()
	f := keyring.File(filepath.Join(t.TempDir(), "keyring.json"))
	if err := keyring.Make(f, rand.Reader, when); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	made, removed = new([]string), new([]string)
	note := func(list *[]string, id string) {
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, id)
	}
	return &keyring.Rotation{
		File: f, Every: time.Hour, After: time.Minute, Margin: 10 * time.Minute, Random: rand.Reader,
		Needs:   func(context.Context) ([]string, error) { return nil, nil },
		Made:    func(u keyring.Use) { note(made, u.ID) },
		Removed: func(id string) { note(removed, id) },
	}, made, removed
}

func ids(t *testing.T, f keyring.File) []string {
	t.Helper()
	ring, err := keyring.Read(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return ring.IDs()
}

func step(t *testing.T, r *keyring.Rotation, now time.Time) {
	t.Helper()
	if err := r.Step(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// TestRotationByTheClock makes a key each hour, and removes keys that nobody needs.
func TestRotationByTheClock(t *testing.T) {
	r, made, removed := rotation(t)
	needed := []string{}
	asked := 0
	r.Needs = func(context.Context) ([]string, error) { asked++; return needed, nil }
	first := ids(t, r.File)[0]
	hour := when.Truncate(time.Hour)
	for _, at := range []time.Duration{0, time.Minute, 59*time.Minute + 59*time.Second} {
		step(t, r, hour.Add(at)) // the keyring's first key is of this hour, or of a later minute of it
	}
	if len(*made) != 0 || asked != 0 {
		t.Fatalf("made %v, asked the store %d times", *made, asked)
	}
	needed = []string{first}
	step(t, r, hour.Add(time.Hour))
	step(t, r, hour.Add(time.Hour+time.Second))
	if len(*made) != 1 {
		t.Fatalf("made %v in the second hour", *made)
	}
	ring, err := keyring.Read(t.Context(), r.File)
	if err != nil || ring.Sealing(hour.Add(time.Hour+59*time.Second)) != first || ring.Sealing(hour.Add(time.Hour+time.Minute)) != (*made)[0] {
		t.Errorf("%v, %v", ring, err)
	}
	step(t, r, hour.Add(time.Hour+11*time.Minute-time.Second))
	if asked != 0 {
		t.Error("the store is asked before a key may go")
	}
	step(t, r, hour.Add(time.Hour+11*time.Minute))
	if asked != 1 || len(*removed) != 0 {
		t.Errorf("asked %d times, removed %v", asked, *removed)
	}
	needed = nil
	step(t, r, hour.Add(time.Hour+12*time.Minute))
	if !slices.Equal(*removed, []string{first}) || !slices.Equal(ids(t, r.File), *made) {
		t.Errorf("removed %v, left %v", *removed, ids(t, r.File))
	}
	// Hours in which no process ran get no keys later.
	step(t, r, hour.Add(5*time.Hour+30*time.Minute))
	if len(*made) != 2 || len(ids(t, r.File)) != 2 {
		t.Errorf("made %v, left %v", *made, ids(t, r.File))
	}
	// A clock that was set back makes no key either.
	step(t, r, hour.Add(3*time.Hour))
	if len(*made) != 2 {
		t.Errorf("made %v", *made)
	}
}

// TestRotationsAtOnce has many processes rotate one file: one key is made.
func TestRotationsAtOnce(t *testing.T) {
	r, made, _ := rotation(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { step(t, r, when.Add(time.Hour)) })
	}
	wg.Wait()
	if len(*made) != 1 || len(ids(t, r.File)) != 2 {
		t.Errorf("made %v, the file has %v", *made, ids(t, r.File))
	}
}

// TestRotationInTrouble checks that failures lose no key and stop no rotation.
func TestRotationInTrouble(t *testing.T) {
	r, made, removed := rotation(t)
	down := errors.New("the store is down")
	r.Needs = func(context.Context) ([]string, error) { return nil, down }
	for hour := range 3 {
		err := r.Step(t.Context(), when.Add(time.Duration(1+hour)*time.Hour))
		if (hour > 0) != errors.Is(err, down) {
			t.Errorf("hour %d: %v", hour, err)
		}
	}
	if len(*made) != 3 || len(*removed) != 0 || len(ids(t, r.File)) != 4 {
		t.Errorf("made %v, removed %v", *made, *removed)
	}
	r.Needs = func(context.Context) ([]string, error) { return []string{"0123456789abcdef"}, nil }
	if err := r.Step(t.Context(), when.Add(9*time.Hour)); err == nil || !strings.Contains(err.Error(), "is it the keyring of this store?") || len(*removed) != 0 {
		t.Errorf("a foreign store: %v, removed %v", err, *removed)
	}
	if err := os.WriteFile(string(r.File), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Step(t.Context(), when.Add(10*time.Hour)); err == nil {
		t.Error("a keyring that can't be read is no error")
	}
	if b, err := os.ReadFile(string(r.File)); err != nil || string(b) != "{" {
		t.Errorf("it was written over: %q, %v", b, err)
	}
}

func TestRotationRuns(t *testing.T) { synctest.Test(t, rotationRuns) }

func rotationRuns(t *testing.T) {
	time.Sleep(time.Until(when.Add(time.Hour))) // after the first key was made
	r, made, removed := rotation(t)
	r.Every, r.After, r.Margin = 2*time.Second, time.Second, time.Second
	ctx, stop := context.WithTimeout(t.Context(), 9*time.Second)
	defer stop()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(*made); n < 3 || n > 6 || len(*removed) < 1 || len(ids(t, r.File)) > 4 {
		t.Errorf("made %v, removed %v, left %v", *made, *removed, ids(t, r.File))
	}
}
