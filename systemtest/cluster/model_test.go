package cluster

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"kubbi-mcp/kubbi/api"
)

// The requests about a kubbi.
type verb string

const (
	claiming   verb = "claim"
	inspecting verb = "inspect"
	getting    verb = "get"
	deleting   verb = "delete"
	releasing  verb = "release"

	// ending is no request. When it happens, all answered requests have happened.
	ending verb = "end"
)

// asked is one request about a kubbi, sent once.
type asked struct {
	verb verb
	key  int // which idempotency key; 0: none
	max  int // the kubbi's max_retrievals; 0: unlimited

	// late is a request without an answer, in a history with an ending. The checker
	// need not try it where it changes nothing, since it may happen after the ending.
	late bool
}

// answer is the answer to a request.
type answer struct {
	lost   bool       // nothing, or 503: it may have happened, or happen yet
	status api.Status // active: it was done; else why not, or what get saw
	number int        // claim: which retrieval; 0: not said. inspect, get: how many there were
	burned bool       // claim: it was the last

	taken map[int]int // lost claim: the numbers that it can't have had, with the keys that can; 0: none
}

// kubbiState is a kubbi as the API promises it: its retrievals, and the keys whose
// claims get the same answer again. The grace is longer than the tests, so that a key
// is held until it is released.
type kubbiState struct {
	count   int
	deleted bool
	held    string // of keys and numbers, in the order of keys; a string, to be comparable
	ended   bool
}

func (s kubbiState) status(max int) api.Status {
	switch {
	case s.deleted:
		return api.StatusDeleted
	case max > 0 && s.count >= max:
		return api.StatusBurned
	}
	return api.StatusActive
}

// number is the number of the retrieval that a held key made.
func (s kubbiState) number(key int) (int, bool) {
	_, rest, ok := strings.Cut(s.held, heldKey(key))
	text, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(text)
	return n, ok && err == nil
}

func heldKey(key int) string { return fmt.Sprintf("%06d:", key) }

func (s kubbiState) hold(key, number int) kubbiState {
	entries := append(strings.Fields(s.held), heldKey(key)+strconv.Itoa(number))
	slices.Sort(entries)
	s.held = strings.Join(entries, " ")
	return s
}

func (s kubbiState) release(key int) kubbiState {
	s.held = strings.Join(slices.DeleteFunc(strings.Fields(s.held), func(entry string) bool {
		return strings.HasPrefix(entry, heldKey(key))
	}), " ")
	return s
}

// step applies a request, and tells whether the answer is possible.
func (s kubbiState) step(q asked, a answer) (bool, kubbiState) {
	if q.late {
		if s.ended {
			return true, s
		}
		q.late = false
		ok, next := s.step(q, a)
		return ok && next != s, next
	}
	status := s.status(q.max)
	switch q.verb {
	case claiming:
		number, replay := s.number(q.key)
		if !replay {
			if status != api.StatusActive {
				return a.lost || a.status == status, s
			}
			s.count++
			number = s.count
			if key, taken := a.taken[number]; taken && (key == 0 || key != q.key) {
				return false, s
			}
			if q.max == 0 {
				number = 0 // nobody is told which it was
			}
			if q.key != 0 {
				s = s.hold(q.key, number)
			}
		}
		last := q.max > 0 && number == q.max
		return a.lost || a.status == api.StatusActive && a.burned == last && (a.number == 0 || a.number == number), s
	case inspecting:
		return a.lost || a.status == status && (status != api.StatusActive || a.number == s.count), s
	case getting:
		return a.lost || a.status == status && a.number == s.count, s
	case deleting:
		if status == api.StatusActive {
			s.deleted, s.held = true, ""
		}
		return a.lost || a.status == status, s
	case releasing:
		return true, s.release(q.key)
	case ending:
		s.ended = true
		return true, s
	}
	panic("no such verb: " + q.verb)
}

var kubbiModel = porcupine.Model{
	Init: func() any { return kubbiState{} },
	Step: func(state, input, output any) (bool, any) {
		return state.(kubbiState).step(input.(asked), output.(answer))
	},
	DescribeOperation: func(input, output any) string {
		q, a := input.(asked), output.(answer)
		text := string(q.verb)
		if q.key != 0 {
			text += fmt.Sprintf(" with key %d", q.key)
		}
		if a.lost {
			return text + ": no answer"
		}
		text += ": " + string(a.status)
		if a.number != 0 {
			text += fmt.Sprintf(", %d", a.number)
		}
		if a.burned {
			text += ", the last"
		}
		return text
	},
	DescribeState: func(state any) string { return fmt.Sprintf("%+v", state.(kubbiState)) },
}

// never is the latest time at which a request without an answer has happened.
const never = math.MaxInt64

// linearizable checks the history of one kubbi. It keeps a picture of an impossible
// history.
func linearizable(t *testing.T, name string, history []porcupine.Operation, patience time.Duration) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(kubbiModel, thin(history), patience)
	if result == porcupine.Ok {
		return
	}
	t.Errorf("the history of %s, %d requests long: %s", name, len(history), result)
	picture(t, kubbiModel, info)
}

// picture keeps a picture of an impossible history.
func picture(t *testing.T, model porcupine.Model, info porcupine.LinearizationInfo) {
	t.Helper()
	f, err := os.CreateTemp("", "kubbi-history-*.html")
	if err == nil {
		err = porcupine.Visualize(model, info, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Log("see", f.Name())
}

// The check finds faulty histories.
func TestClusterModel(t *testing.T) {
	ask := func(max int) func(verb, int, int64, int64, answer) porcupine.Operation {
		return func(v verb, key int, from, to int64, a answer) porcupine.Operation {
			return porcupine.Operation{Input: asked{verb: v, key: key, max: max}, Call: from, Return: to, Output: a}
		}
	}
	one, three, unlimited := ask(1), ask(3), ask(0)
	done := func(number int) answer { return answer{status: api.StatusActive, number: number} }
	last := func(number int) answer { return answer{status: api.StatusActive, number: number, burned: true} }
	ended := func(s api.Status) answer { return answer{status: s} }
	lost := answer{lost: true}
	const burned, deleted = api.StatusBurned, api.StatusDeleted
	for _, c := range []struct {
		name    string
		legal   bool
		history []porcupine.Operation
	}{
		{"one after another", true, []porcupine.Operation{
			three(claiming, 0, 1, 2, done(1)), three(inspecting, 0, 3, 4, done(1)), three(claiming, 7, 5, 6, done(2)),
			three(claiming, 0, 7, 8, last(3)), three(inspecting, 0, 9, 10, ended(burned)), three(deleting, 0, 11, 12, ended(burned)),
		}},
		{"delivered twice", false, []porcupine.Operation{
			one(claiming, 1, 1, 4, last(1)), one(claiming, 2, 2, 3, last(1)),
		}},
		{"delivered twice, without number", false, []porcupine.Operation{
			unlimited(claiming, 1, 1, 2, done(0)), unlimited(claiming, 2, 3, 4, done(0)), unlimited(inspecting, 0, 5, 6, done(1)),
		}},
		{"delivered twice with one key", true, []porcupine.Operation{
			one(claiming, 1, 1, 2, last(1)), one(claiming, 1, 3, 4, last(1)),
		}},
		{"delivered once more with a key that was let go", false, []porcupine.Operation{
			one(claiming, 1, 1, 2, last(1)), one(releasing, 1, 3, 4, answer{}), one(claiming, 1, 5, 6, last(1)),
		}},
		{"another number with one key", false, []porcupine.Operation{
			three(claiming, 1, 1, 2, done(1)), three(claiming, 1, 3, 4, done(2)),
		}},
		{"a key that was forgotten", false, []porcupine.Operation{
			one(claiming, 1, 1, 2, last(1)), one(claiming, 1, 3, 4, ended(burned)),
		}},
		{"lost, and it had happened", true, []porcupine.Operation{
			one(claiming, 0, 1, never, lost), one(claiming, 0, 3, 4, ended(burned)),
		}},
		{"lost, and it had not happened", true, []porcupine.Operation{
			one(claiming, 0, 1, never, lost), one(claiming, 0, 3, 4, last(1)),
		}},
		{"lost, and it happened late", true, []porcupine.Operation{
			one(claiming, 0, 1, never, lost), one(inspecting, 0, 3, 4, done(0)), one(claiming, 0, 5, 6, ended(burned)),
		}},
		{"lost, and it happened before it was sent", false, []porcupine.Operation{
			one(claiming, 0, 1, 2, ended(burned)), one(claiming, 0, 3, never, lost),
		}},
		{"one lost, and two had happened", false, []porcupine.Operation{
			three(claiming, 0, 1, never, lost), three(claiming, 1, 2, 3, last(3)),
		}},
		{"often lost with one key, which counts once", false, []porcupine.Operation{
			three(claiming, 1, 1, never, lost), three(claiming, 1, 2, never, lost), three(claiming, 1, 3, never, lost),
			three(claiming, 2, 5, 6, last(3)),
		}},
		{"lost, found, let go, and it happens again", true, []porcupine.Operation{
			three(claiming, 1, 1, never, lost), three(claiming, 1, 2, never, lost), three(claiming, 1, 3, 4, done(1)),
			three(releasing, 1, 5, 6, answer{}), three(claiming, 2, 7, 8, last(3)),
		}},
		{"a retrieval that was lost", false, []porcupine.Operation{
			three(claiming, 0, 1, 2, done(1)), three(claiming, 0, 3, 4, done(1)),
		}},
		{"a create that was lost", false, []porcupine.Operation{
			three(claiming, 0, 1, 2, ended("not_found")),
		}},
		{"burned too early", false, []porcupine.Operation{
			three(claiming, 0, 1, 2, done(1)), three(claiming, 0, 3, 4, ended(burned)),
		}},
		{"the last, and more", false, []porcupine.Operation{
			three(claiming, 0, 1, 2, last(1)),
		}},
		{"an old count", false, []porcupine.Operation{
			three(claiming, 0, 1, 2, done(1)), three(getting, 0, 3, 4, done(0)),
		}},
		{"claimed after it was deleted", false, []porcupine.Operation{
			three(deleting, 0, 1, 2, done(0)), three(claiming, 0, 3, 4, done(1)),
		}},
		{"a held key after the kubbi was deleted", false, []porcupine.Operation{
			three(claiming, 1, 1, 2, done(1)), three(deleting, 0, 3, 4, done(0)), three(claiming, 1, 5, 6, done(1)),
		}},
		{"deleted by a request that was lost", true, []porcupine.Operation{
			three(deleting, 0, 1, never, lost), three(deleting, 0, 3, 4, ended(deleted)),
		}},
		{"deleted by nobody", false, []porcupine.Operation{
			three(deleting, 0, 3, 4, ended(deleted)),
		}},
	} {
		got := porcupine.CheckOperations(kubbiModel, thin(c.history))
		if got != c.legal {
			t.Errorf("%s: legal is %v, want %v", c.name, got, c.legal)
		}
	}
}
