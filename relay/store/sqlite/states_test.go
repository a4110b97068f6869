package sqlite_test

import (
	"testing"

	"kubbi-mcp/relay/store"
)

// States reads no row unless something was written since the mark, by this Store or another
// one.
func TestStatesOfUnchangedStore(t *testing.T) {
	path := storePath(t)
	s, other := openStore(t, path), openStore(t, path)
	k := newKubbi(0)
	numbers := []store.Number{k.Token.Number}
	var mark store.Mark
	for i, by := range []store.Store{s, other, s} {
		if i == 0 {
			if _, err := by.Create(t.Context(), k, bytesOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
				t.Fatal(err)
			}
		} else if c, err := by.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
			t.Fatal(err)
		} else {
			c.Payload.Close()
		}
		for again := range 3 {
			states, next, err := s.States(t.Context(), numbers, mark, t0)
			if err != nil {
				t.Fatal(err)
			}
			if changed := again == 0; changed != (len(states) == 1) || changed == (next == mark) {
				t.Errorf("after write %d, call %d: %v, mark %d after %d", i, again, states, next, mark)
			}
			mark = next
		}
	}
}
