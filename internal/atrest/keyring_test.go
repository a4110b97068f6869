package atrest_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"kubbi-mcp/internal/atrest"
)

// TestKeyringOverTime checks which key seals, before and after the time of each.
func TestKeyringOverTime(t *testing.T) {
	at := func(minutes int) time.Time { return when.Add(time.Duration(minutes) * time.Minute) }
	add := func(r *atrest.Keyring, seed byte, from time.Time) *atrest.Keyring {
		t.Helper()
		out, err := r.With(random(seed), when, from)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	now := newRing(t, 1)
	soon := add(now, 2, at(1))
	later := add(soon, 3, at(60))
	overtaken := add(later, 4, at(30))
	early, err := add(soon, 3, at(60)).Without(now.IDs()[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ring *atrest.Keyring
		want map[int]int // which key, from 0, at which minute
	}{
		"one":                  {now, map[int]int{-9: 0, 0: 0, 99: 0}},
		"another soon":         {soon, map[int]int{-9: 0, 0: 0, 1: 1, 99: 1}},
		"a third later":        {later, map[int]int{0: 0, 1: 1, 59: 1, 60: 2, 99: 2}},
		"one before its turn":  {overtaken, map[int]int{0: 0, 1: 1, 30: 3, 60: 3, 99: 3}},
		"none yet: the oldest": {early, map[int]int{-9: 0, 0: 0, 1: 0, 60: 1}},
	} {
		text, err := tc.ring.Encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := atrest.ParseKeyring(text)
		if err != nil {
			t.Fatal(err)
		}
		for minute, key := range tc.want {
			for _, ring := range []*atrest.Keyring{tc.ring, read} {
				if got, want := ring.Sealing(at(minute)), ring.IDs()[key]; got != want {
					t.Errorf("%s: at minute %d %s seals, want %s of %v", name, minute, got, want, ring)
				}
			}
		}
	}
	if got := (*atrest.Keyring)(nil).Sealing(when); got != "" {
		t.Errorf("no keyring seals with %s", got)
	}
}

// TestKeyringFile checks the file byte for byte, with and without a time to begin.
func TestKeyringFile(t *testing.T) {
	one := newRing(t, 1)
	two, err := one.With(random(2), when.Add(time.Hour), when.Add(time.Hour+time.Minute+time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	secret := func(seed byte) string { return base64.StdEncoding.EncodeToString(bytesOf(seed, 32)) }
	want := fmt.Sprintf(`{
  "version": 1,
  "keys": [
    {
      "id": %q,
      "created_at": "2026-03-28T12:00:00Z",
      "secret": %q
    },
    {
      "id": %q,
      "created_at": "2026-03-28T13:00:00Z",
      "use_from": "2026-03-28T13:01:00Z",
      "secret": %q
    }
  ]
}
`, two.IDs()[0], secret(1), two.IDs()[1], secret(2))
	text, err := two.Encode()
	if err != nil || string(text) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, text, want)
	}
	keys := two.Keys()
	if len(keys) != 2 || keys[0] != (atrest.KeyInfo{ID: two.IDs()[0], CreatedAt: when}) ||
		keys[1] != (atrest.KeyInfo{ID: two.IDs()[1], CreatedAt: when.Add(time.Hour), UseFrom: when.Add(time.Hour + time.Minute)}) {
		t.Errorf("keys: %+v", keys)
	}
	// A time in another zone is the same time.
	moved, err := atrest.ParseKeyring(bytes.Replace(text, []byte("13:01:00Z"), []byte("15:01:00+02:00"), 1))
	if err != nil || moved.Keys()[1] != keys[1] {
		t.Errorf("in another zone: %+v, %v", moved.Keys(), err)
	}
}
