package storetest

import (
	"cmp"
	"slices"
	"time"

	"kubbi-mcp/relay/store"
)

// states reads the states of kubbis, by number, and the mark.
func (f *fixture) states(s store.Store, since store.Mark, now time.Time, numbers ...store.Number) ([]store.State, store.Mark) {
	f.Helper()
	got, mark, err := s.States(f.Context(), numbers, since, now)
	if err != nil {
		f.Fatalf("states: %v", err)
	}
	slices.SortFunc(got, func(a, b store.State) int { return cmp.Compare(a.Number, b.Number) })
	return got, mark
}

func stateOf(k *store.Kubbi, status store.Status, retrievals int) store.State {
	return store.State{Number: k.Token.Number, Status: status, Retrievals: retrievals}
}

var states = []testCase{
	{"the kubbis with these numbers, of any owner and status", func(f *fixture) {
		f.put(f.kubbi())
		var want []store.State
		var numbers []store.Number
		add := func(k *store.Kubbi, status store.Status, retrievals int) {
			want, numbers = append(want, stateOf(k, status, retrievals)), append(numbers, k.Token.Number)
		}
		add(f.put(f.kubbi(func(k *store.Kubbi) { k.Owner = other })), store.Active, 0)
		k := f.put(f.kubbi())
		f.claim(k, claimKey("a"), t0)
		f.claim(k, claimKey("b"), t0)
		f.claim(k, claimKey("b"), t0) // a replay
		add(k, store.Active, 2)
		k = f.put(f.kubbi(limit(1)))
		f.claim(k, nil, t0)
		add(k, store.Burned, 1)
		k = f.put(f.kubbi())
		f.delete(k, t0)
		add(k, store.Deleted, 0)
		slices.Reverse(numbers)
		got, _ := f.states(f.s, 0, t0, numbers...)
		f.same("states", want, got)
	}},
	{"numbers without a kubbi are left out", func(f *fixture) {
		k := f.put(f.kubbi())
		got, _ := f.states(f.s, 0, t0, k.Token.Number+1, k.Token.Number, 0, -1)
		f.same("states", []store.State{stateOf(k, store.Active, 0)}, got)
		if got, _ := f.states(f.s, 0, t0); len(got) != 0 {
			f.Errorf("for no numbers: %v", got)
		}
	}},
	{"a kubbi expires without a sweep", func(f *fixture) {
		k := f.put(f.kubbi())
		for _, c := range []struct {
			now  time.Time
			want store.Status
		}{{k.ExpiresAt.Add(-time.Millisecond), store.Active}, {k.ExpiresAt, store.Expired}} {
			got, _ := f.states(f.s, 0, c.now, k.Token.Number)
			f.same("states", []store.State{stateOf(k, c.want, 0)}, got)
		}
	}},
	{"what any Store has written since the mark is there", func(f *fixture) {
		another := f.open(f.T)
		k := f.put(f.kubbi())
		_, mark := f.states(f.s, 0, t0, k.Token.Number)
		for n := 1; n <= 6; n++ {
			by := []store.Store{f.s, another}[n%2]
			c, err := by.Claim(f.Context(), k.Token, nil, nil, t0)
			if err != nil {
				f.Fatal(err)
			}
			f.payload(c)
			var got []store.State
			if got, mark = f.states(f.s, mark, t0, k.Token.Number); len(got) != 1 || got[0] != stateOf(k, store.Active, n) {
				f.Errorf("after claim %d: %v", n, got)
			}
		}
	}},
	{"a mark is of a call, not of all calls", func(f *fixture) {
		k := f.put(f.kubbi())
		_, first := f.states(f.s, 0, t0, k.Token.Number)
		f.claim(k, nil, t0)
		want := []store.State{stateOf(k, store.Active, 1)}
		for range 3 { // although other calls have seen the change
			got, _ := f.states(f.s, first, t0, k.Token.Number)
			f.same("states", want, got)
			got, _ = f.states(f.s, 0, t0, k.Token.Number)
			f.same("states from the beginning", want, got)
		}
	}},
	{"very many numbers at once", func(f *fixture) {
		k := f.put(f.kubbi())
		numbers := []store.Number{k.Token.Number}
		for n := range 5000 {
			numbers = append(numbers, k.Token.Number+store.Number(n)+100)
		}
		got, _ := f.states(f.s, 0, t0, numbers...)
		f.same("states", []store.State{stateOf(k, store.Active, 0)}, got)
	}},
}
