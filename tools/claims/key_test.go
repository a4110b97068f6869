package claims

import (
	"log/slog"
	"testing"
	"time"
)

const anyToken = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// TestOneKeyAtATime makes two claims of one URL at the same time: each has a key of its own,
// so that they count as two. The next process takes the key of one that has died.
func TestOneKeyAtATime(t *testing.T) {
	state := NewState(t.TempDir())
	s := keySet{state: state, log: slog.New(slog.DiscardHandler)}
	first, err := s.take(t.Context(), anyToken)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.take(t.Context(), anyToken)
	if err != nil {
		t.Fatal(err)
	}
	if first.Key == second.Key || second.used() {
		t.Error("two claims share a key")
	}
	second.drop()
	key := first.Key
	if err := first.closeFile(); err != nil { // as the end of its process does
		t.Fatal(err)
	}
	s = keySet{state: state, log: s.log}
	third, err := s.take(t.Context(), anyToken)
	if err != nil || third.Key != key || !third.used() {
		t.Errorf("%+v, %v", third, err)
	}
	third.drop()
	last, err := s.take(t.Context(), anyToken)
	if err != nil {
		t.Fatal(err)
	}
	if last.Key == key || last.used() {
		t.Errorf("%+v", last)
	}
	last.drop()
}

// TestClaimWaitsForAnother makes a claim while another one of the same URL is under way in
// the process, such as one whose client has gone: it waits, and gets its key.
func TestClaimWaitsForAnother(t *testing.T) {
	for name, state := range map[string]*State{"on disk": NewState(t.TempDir()), "in memory": nil} {
		t.Run(name, func(t *testing.T) {
			s := keySet{state: state, log: slog.New(slog.DiscardHandler), patience: patience}
			first, err := s.take(t.Context(), anyToken)
			if err != nil {
				t.Fatal(err)
			}
			taken := make(chan *key)
			go func() {
				k, err := s.take(t.Context(), anyToken)
				if err != nil {
					t.Error(err)
				}
				taken <- k
			}()
			select {
			case <-taken:
				t.Fatal("the second claim did not wait")
			case <-time.After(50 * time.Millisecond):
			}
			first.lost(time.Now().Add(time.Minute))
			second := <-taken
			if second.Key != first.Key || !second.used() || second.Answered {
				t.Errorf("the second claim has %+v", second)
			}
			second.drop()
		})
	}
}

// patience is how long a test waits for something that must happen.
const patience = time.Minute

// TestGraceIsNotBegunAnew repeats a claim: its grace ends when that of the first claim does,
// because the relay counts from there.
func TestGraceIsNotBegunAnew(t *testing.T) {
	const grace = time.Minute
	s := keySet{}
	k, err := s.take(t.Context(), anyToken)
	if err != nil {
		t.Fatal(err)
	}
	k.begun = k.begun.Add(-20 * time.Second) // a slow answer
	end := k.graceEnds(grace)
	if left := time.Until(end); left > 40*time.Second {
		t.Errorf("%s are left after 20 seconds", left)
	}
	k.answered("one", end)
	again, err := s.take(t.Context(), anyToken)
	if err != nil || !again.used() {
		t.Fatalf("%+v, %v", again, err)
	}
	if got := again.graceEnds(grace); !got.Equal(end) {
		t.Errorf("repeated, it ends at %s, not at %s", got, end)
	}
	again.drop()
}
