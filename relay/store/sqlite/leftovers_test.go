package sqlite_test

import (
	"bytes"
	mrand "math/rand/v2"
	"os"
	"testing"
)

// SQLite packs pages anew as the rows beside come and go: what was wiped has
// left no copy in a place where it stood before. It is rare: with this seed, one
// payload of 2,000.
func TestWipeAmongOthers(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	random := mrand.New(mrand.NewPCG(2, 77))
	var live, dead []marked
	for range 4000 {
		if len(live) < 20 || len(live) < 200 && random.IntN(2) == 0 {
			live = append(live, putMarked(t, s, 64+random.IntN(1200)))
			continue
		}
		i := random.IntN(len(live))
		wipings["delete"](t, s, live[i].Kubbi)
		dead = append(dead, live[i])
		live[i] = live[len(live)-1]
		live = live[:len(live)-1]
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{}
	for _, m := range dead {
		for name, mark := range m.marks {
			if bytes.Contains(b, mark) {
				left[name]++
			}
		}
	}
	if len(left) != 0 {
		t.Errorf("of %d wiped kubbis, still in the file: %v", len(dead), left)
	}
}
