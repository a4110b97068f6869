package cluster

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"

	"kubbi-mcp/kubbi/api"
)

// thin removes from the history of a kubbi what the rest implies, so that the checker
// has fewer orders to try: their number grows exponentially with the number of
// concurrent requests.
func thin(history []porcupine.Operation) []porcupine.Operation {
	return thinLate(thinLooks(thinLost(thinKeys(thinTaken(history)))))
}

// thinLate adds an ending after all answered requests, so that the checker need not try
// a lost request everywhere.
func thinLate(history []porcupine.Operation) (out []porcupine.Operation) {
	var end int64
	for _, op := range history {
		if q := op.Input.(asked); op.Output.(answer).lost {
			q.late = true
			op.Input, op.Return = q, never
		} else {
			end = max(end, op.Return)
		}
		out = append(out, op)
	}
	return append(out, porcupine.Operation{Input: asked{verb: ending}, Output: answer{}, Call: end + 1, Return: end + 2})
}

// thinKeys removes the keys that only one claim has, and releases after which no claim
// has the key.
func thinKeys(history []porcupine.Operation) (out []porcupine.Operation) {
	claims, until := map[int]int{}, map[int]int64{}
	for _, op := range history {
		if q := op.Input.(asked); q.verb == claiming {
			claims[q.key]++
			until[q.key] = max(until[q.key], op.Return)
		}
	}
	for _, op := range history {
		q := op.Input.(asked)
		if claims[q.key] < 2 || q.verb == releasing && until[q.key] < op.Call {
			if q.verb == releasing {
				continue
			}
			q.key = 0
			op.Input = q
		}
		out = append(out, op)
	}
	return out
}

// thinLost removes lost requests that change nothing: inspections, all deletes but one,
// and claims with the same key beyond those that can count: one, and one for each
// release of the key.
func thinLost(history []porcupine.Operation) []porcupine.Operation {
	count, deletes := map[int]int{}, 1
	for _, op := range history {
		if q := op.Input.(asked); q.verb == releasing {
			count[q.key]++
		}
	}
	out := slices.SortedStableFunc(slices.Values(history), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	return slices.DeleteFunc(out, func(op porcupine.Operation) bool {
		q := op.Input.(asked)
		switch {
		case !op.Output.(answer).lost:
			return false
		case q.verb == deleting:
			deletes--
			return deletes < 0
		case q.verb == claiming && q.key != 0:
			count[q.key]--
			return count[q.key] < -1
		}
		return q.verb == inspecting || q.verb == getting
	})
}

// thinTaken gives each lost claim the numbers that other claims have, and removes it if
// no number is left.
func thinTaken(history []porcupine.Operation) (out []porcupine.Operation) {
	taken, total := map[int]int{}, math.MaxInt
	for _, op := range history {
		q, a := op.Input.(asked), op.Output.(answer)
		switch {
		case a.status == api.StatusBurned:
			total = q.max
		case q.verb == getting && a.status == api.StatusDeleted:
			total = a.number
		case q.verb == claiming && a.number > 0:
			taken[a.number] = q.key
		}
	}
	for _, op := range history {
		q, a := op.Input.(asked), op.Output.(answer)
		if q.verb == claiming && a.lost {
			n := 1
			for ; n <= total; n++ {
				if key, ok := taken[n]; !ok || key == q.key && key != 0 {
					break
				}
			}
			if n > total {
				continue
			}
			a.taken = taken
			op.Output = a
		}
		out = append(out, op)
	}
	return out
}

// look is the answer to a request that changed nothing.
type look struct {
	status api.Status
	number int // -1: not said
}

func lookOf(op porcupine.Operation) (look, bool) {
	q, a := op.Input.(asked), op.Output.(answer)
	switch {
	case a.lost || q.key != 0 && a.status != api.StatusDeleted: // which ends keys too
		return look{}, false
	case q.verb == getting, q.verb == inspecting && a.status == api.StatusActive:
		return look{a.status, a.number}, true
	}
	return look{a.status, -1}, a.status != api.StatusActive
}

// thinLooks removes looks that saw the same as others. The state that they saw began
// before the first of their answers and ended after the last of their requests. It
// keeps these two.
func thinLooks(history []porcupine.Operation) []porcupine.Operation {
	type pair struct{ first, last int }
	kept := map[look]pair{}
	for i, op := range history {
		l, ok := lookOf(op)
		if !ok {
			continue
		}
		p, ok := kept[l]
		if !ok || op.Return < history[p.first].Return {
			p.first = i
		}
		if !ok || op.Call > history[p.last].Call {
			p.last = i
		}
		kept[l] = p
	}
	var out []porcupine.Operation
	for i, op := range history {
		l, ok := lookOf(op)
		p := kept[l]
		if !ok || i == p.first || i == p.last && l.status == api.StatusActive { // other states last for ever
			out = append(out, op)
		}
	}
	return out
}

// Thinning does not change the verdict.
func TestClusterThin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	legal, shorter := 0, 0
	const rounds = 20_000
	for range rounds {
		h := randomHistory(r)
		want := porcupine.CheckOperations(kubbiModel, h)
		short := thin(h)
		if got := porcupine.CheckOperations(kubbiModel, short); got != want {
			t.Fatalf("legal is %v, and %v of %+v; left of it are %+v", want, got, h, short)
		}
		if want {
			legal++
		}
		if len(short) <= len(h) { // with the end
			shorter++
		}
	}
	t.Logf("%d histories, %d legal, %d made shorter", rounds, legal, shorter)
	if legal < rounds/20 || legal > rounds*19/20 || shorter < rounds/4 {
		t.Errorf("of %d histories %d are legal, and %d were made shorter", rounds, legal, shorter)
	}
}

// randomHistory makes a history of a kubbi in random order. Some answers are lost, and
// sometimes one is wrong.
func randomHistory(r *rand.Rand) (out []porcupine.Operation) {
	limit := []int{0, 1, 2, 4}[r.IntN(4)]
	verbs := []verb{claiming, claiming, claiming, inspecting, getting, deleting, releasing}
	var state kubbiState
	for i := range 3 + r.IntN(8) {
		q := asked{verb: verbs[r.IntN(len(verbs)-2+2*r.IntN(2))], max: limit}
		if q.verb == claiming || q.verb == releasing {
			q.key = r.IntN(3)
		}
		if q.verb == releasing {
			q.key = 1 + r.IntN(2)
		}
		at := int64(20 * (i + 1))
		op := porcupine.Operation{ClientId: i, Input: q, Call: at - r.Int64N(60), Return: at + r.Int64N(60)}
		if r.IntN(6) == 0 {
			op.Output, op.Return = answer{lost: true}, never
			if r.IntN(2) == 0 {
				_, state = state.step(q, answer{lost: true})
			}
			out = append(out, op)
			continue
		}
		op.Output, state = state.answer(q)
		if r.IntN(12) == 0 {
			op.Output, _ = kubbiState{count: r.IntN(3), deleted: r.IntN(4) == 0}.answer(q)
		}
		out = append(out, op)
	}
	return out
}

// answer gives the right answer to a request.
func (s kubbiState) answer(q asked) (answer, kubbiState) {
	for _, status := range []api.Status{api.StatusActive, api.StatusBurned, api.StatusDeleted} {
		for number := range 12 {
			for _, burned := range []bool{false, true} {
				a := answer{status: status, number: number, burned: burned}
				if q.verb == claiming && (q.max == 0 || status != api.StatusActive) && number > 0 {
					continue // is not said
				}
				if q.verb == claiming && q.max > 0 && status == api.StatusActive && number == 0 {
					continue // is said
				}
				if ok, next := s.step(q, a); ok {
					return a, next
				}
			}
		}
	}
	panic("no answer")
}
