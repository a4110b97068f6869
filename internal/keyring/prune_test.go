//go:build unix

package keyring_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
)

func TestMake(t *testing.T) {
	f := keyring.File(filepath.Join(t.TempDir(), "keyring.json"))
	var first string
	for range 2 {
		if err := keyring.Make(f, rand.Reader, when); err != nil {
			t.Fatal(err)
		}
		ring, err := keyring.Read(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = ring.String()
		}
		if ring.String() != first {
			t.Errorf("%v was made over %s", ring, first)
		}
	}
	if info, err := os.Stat(string(f)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestEditsLoseNoKey rotates from many goroutines at once.
func TestEditsLoseNoKey(t *testing.T) {
	f := keyring.File(filepath.Join(t.TempDir(), "keyring.json"))
	if err := keyring.Make(f, rand.Reader, when); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := keyring.Edit(t.Context(), f, func(r *atrest.Keyring) (*atrest.Keyring, error) {
				return r.With(rand.Reader, when, time.Time{})
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ring, err := keyring.Read(t.Context(), f)
	if err != nil || len(ring.IDs()) != 17 {
		t.Errorf("%v, %v", ring, err)
	}
	trouble := errors.New("trouble")
	if err := keyring.Edit(t.Context(), f, func(*atrest.Keyring) (*atrest.Keyring, error) { return nil, trouble }); !errors.Is(err, trouble) {
		t.Errorf("an edit that fails: %v", err)
	}
}

// TestPrune has keys in every state. The letters are the names of the keys, in the order
// of the ring.
func TestPrune(t *testing.T) {
	at := func(d time.Duration) time.Time { return when.Add(d) }
	ring := newRing(t, 'a')                                        // a: seals from the start
	ring = with(t, ring, 'b', at(time.Minute), time.Time{})        // b: at once
	ring = with(t, ring, 'c', at(2*time.Minute), at(time.Hour))    // c: an hour later, too late for d
	ring = with(t, ring, 'd', at(10*time.Minute), at(time.Hour/2)) // d: in half an hour
	ring = with(t, ring, 'e', at(11*time.Minute), at(2*time.Hour)) // e: in two hours
	ids := ring.IDs()
	letters := func(r *atrest.Keyring) (out string) {
		for i, id := range ids {
			if r == nil || r.Has(id) {
				out += string(rune('a' + i))
			}
		}
		return out
	}
	for _, tc := range []struct {
		now    time.Duration
		needed string
		left   string
		want   string // state of each
	}{
		{0, "", "abcde", "opening sealing waiting waiting waiting"}, // b has no time of its own
		{5 * time.Minute, "", "abcde", "opening sealing waiting waiting waiting"},
		{11 * time.Minute, "", "bcde", "opening sealing waiting waiting waiting"},
		{11 * time.Minute, "a", "abcde", "opening sealing waiting waiting waiting"},
		{35 * time.Minute, "", "bcde", "opening opening waiting sealing waiting"},
		{45 * time.Minute, "", "cde", "opening opening waiting sealing waiting"},
		{45 * time.Minute, "b", "bcde", "opening opening waiting sealing waiting"},
		{65 * time.Minute, "", "de", "opening opening opening sealing waiting"}, // c never sealed
		{125 * time.Minute, "", "de", "opening opening opening opening sealing"},
		{131 * time.Minute, "abc", "abce", "opening opening opening opening sealing"},
		{131 * time.Minute, "", "e", "opening opening opening opening sealing"},
	} {
		now := at(tc.now)
		var states []string
		for _, u := range keyring.Uses(ring, now) {
			states = append(states, string(u.State))
		}
		if got := strings.Join(states, " "); got != tc.want {
			t.Errorf("after %v the keys are %s, want %s", tc.now, got, tc.want)
		}
		var needed []string
		for _, letter := range tc.needed {
			needed = append(needed, ids[letter-'a'])
		}
		left, report, err := keyring.Prune(ring, now, 10*time.Minute, func() ([]string, error) { return needed, nil })
		if err != nil || letters(left) != tc.left || len(report.Removed)+len(report.Kept) != len(ids) || (left == nil) != (len(report.Removed) == 0) {
			t.Errorf("after %v with %q needed it leaves %s, %+v: %v; want %s", tc.now, tc.needed, letters(left), report, err, tc.left)
		}
	}
	_, _, err := keyring.Prune(ring, at(time.Hour), 0, func() ([]string, error) { return nil, errors.New("away") })
	if err == nil || !strings.Contains(err.Error(), "away") {
		t.Errorf("the store does not answer: %v", err)
	}
	_, _, err = keyring.Prune(ring, at(time.Hour), 0, func() ([]string, error) { return append(ids, "0123456789abcdef"), nil })
	if err == nil || !strings.Contains(err.Error(), "0123456789abcdef; is it the keyring of this store?") {
		t.Errorf("another store: %v", err)
	}
	_, report, err := keyring.Prune(ring, at(35*time.Minute), 10*time.Minute, func() ([]string, error) { return nil, nil })
	if want := []string{"until a short while ago; it may go from 2026-03-28T12:40:00Z", "from 2026-03-28T13:00:00Z", "it seals", "will seal from 2026-03-28T14:00:00Z"}; err != nil || len(report.Kept) != len(want) {
		t.Errorf("kept %v, %v", report.Kept, err)
	} else {
		for i, k := range report.Kept {
			if !strings.Contains(k.Reason, want[i]) {
				t.Errorf("%s was kept because %s, want %q", k.ID, k.Reason, want[i])
			}
		}
	}
}
