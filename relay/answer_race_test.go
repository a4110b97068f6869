package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// teamAsk is a request of a team's producer, and the paths of its URLs.
type teamAsk struct {
	api.AskResponse
	question, claim string
}

func (tm *team) ask(node int, key, body string, headers ...string) teamAsk {
	tm.t.Helper()
	a := tm.call(node, key, "POST", api.PathRequests, body, headers...)
	if a.status != http.StatusCreated {
		tm.t.Fatalf("ask: %d %.300s", a.status, a.body)
	}
	out := teamAsk{}
	decode(tm.t, a.body, &out.AskResponse)
	out.question = strings.TrimPrefix(out.RequestURL, "https://relay.test")
	out.claim = strings.TrimPrefix(out.ClaimURL, "https://relay.test")
	return out
}

func (tm *team) asked(node int, key, id string) (asked api.Asked) {
	tm.t.Helper()
	a := tm.call(node, key, "GET", api.PathRequest+id, "")
	if a.status != http.StatusOK {
		tm.t.Fatalf("get request: %d %s", a.status, a.body)
	}
	decode(tm.t, a.body, &asked)
	return asked
}

// answered gives the sealed content of a request's answer; "": there is none.
func (tm *team) answered(node int, q teamAsk) string {
	tm.t.Helper()
	a := tm.call(node, "", "POST", q.claim+"/claim", "")
	var c api.ClaimResponse
	if decode(tm.t, a.body, &c); a.status == http.StatusOK && len(c.Files) == 1 && c.Files[0].Content != "" {
		return c.Files[0].Content
	}
	if a.status == http.StatusOK {
		tm.t.Errorf("claim: %s", a.body)
	}
	return ""
}

// base64Text makes a valid base64 text of a number, padded to at least size characters.
func base64Text(i, size int) string { return fmt.Sprintf("%08d", i) + strings.Repeat("A", size) }

// TestAnswersRace has 64 clients answer one request over three nodes. Exactly one answer is
// taken, and it is the one that was acknowledged.
func TestAnswersRace(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 3, open, nil)
		asker := tm.key("kb_asker", store.APIKey{})
		for name, size := range map[string]int{"small": 0, "large": 400_000} {
			q := tm.ask(0, asker, askBody)
			var next atomic.Int64
			var mu sync.Mutex
			taken := ""
			got := tm.crowd(1, func(node int) answer {
				i := int(next.Add(1))
				content := base64Text(i, size)
				var headers []string
				if i%2 == 0 {
					headers = []string{key, fmt.Sprintf("answer-%d-0123456789abcdefghijk", i)}
				}
				a := tm.call(node, "", "POST", q.question, sealedAnswer(content), headers...)
				for a.status == http.StatusServiceUnavailable { // another one is being sent
					time.Sleep(5 * time.Millisecond)
					a = tm.call(node, "", "POST", q.question, sealedAnswer(content), headers...)
				}
				if a.status == http.StatusCreated {
					mu.Lock()
					defer mu.Unlock()
					taken = content
				}
				return a
			})
			if got.statuses[201] != 1 || got.statuses[409] != 63 {
				t.Errorf("%s: statuses %v, want one 201 and else 409: %s", name, got.statuses, got.last[500].body)
			}
			if asked := tm.asked(1, asker, q.ID); asked.Status != api.RequestAnswered {
				t.Errorf("%s: the request is %s", name, asked.Status)
			}
			if got := tm.answered(2, q); got != taken {
				t.Errorf("%s: the answer is %.20q, and %.20q was acknowledged", name, got, taken)
			}
		}
	})
}

// TestAnswersKeepTheirNumbers has two nodes ask and create in the same millisecond. No kubbi
// takes the number of an answer that is still to come.
func TestAnswersKeepTheirNumbers(t *testing.T) {
	tm := newTeam(t, 2, overSQLite(t), nil)
	asker := tm.key("kb_asker", store.APIKey{})
	var asked []teamAsk
	for i := range 30 {
		asked = append(asked, tm.ask(i%2, asker, askBody))
	}
	for i := range 60 {
		tm.create(i%2, asker, small)
	}
	for _, q := range asked {
		if a := tm.call(0, "", "POST", q.question, sealedAnswer("eA==")); a.status != http.StatusCreated {
			t.Errorf("answer: %d %s", a.status, a.body)
		}
	}
}

// TestAnswerAgain repeats answers with their key: they get the receipt again. Anything else is
// a second answer.
func TestAnswerAgain(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 2, open, nil)
		asker := tm.key("kb_asker", store.APIKey{})
		for name, size := range map[string]int{"small": 0, "large": 400_000} {
			q := tm.ask(0, asker, askBody)
			body := sealedAnswer(base64Text(1, size))
			first := tm.call(0, "", "POST", q.question, body, key, keyOne)
			if first.status != http.StatusCreated {
				t.Fatalf("%s: %d %s", name, first.status, first.body)
			}
			again := func(when string) {
				t.Helper()
				if a := tm.call(1, "", "POST", q.question, body, key, keyOne); a.status != http.StatusCreated || string(a.body) != string(first.body) {
					t.Errorf("%s, %s: %d %s, want %s", name, when, a.status, a.body, first.body)
				}
				wantError(t, tm.call(1, "", "POST", q.question, sealedAnswer(base64Text(2, size)), key, keyOne), api.CodeConflict, "used before with another request")
				wantError(t, tm.call(1, "", "POST", q.question, body, key, keyTwo), api.CodeConflict, "answered already")
				wantError(t, tm.call(1, "", "POST", q.question, body), api.CodeConflict, "answered already")
			}
			again("repeated")
			if got := tm.answered(1, q); got != base64Text(1, size) {
				t.Errorf("%s: the answer is %.20q", name, got)
			}
			again("repeated after the claim")
			tm.clock.Advance(time.Minute)
			wantError(t, tm.call(1, "", "POST", q.question, body, key, keyOne), api.CodeConflict, "answered already")
		}
	})
}

// halfway is a store that ends answers between their two steps: after an answer is stored, it
// calls then, and the request is not claimed if that returns an error.
type halfway struct {
	store.Store
	then func(ctx context.Context) error
}

func (s *halfway) Create(ctx context.Context, k *store.Kubbi, payload io.Reader, key *store.CreateKey, quota store.Quota, now time.Time) (*store.Replay, error) {
	r, err := s.Store.Create(ctx, k, payload, key, quota, now)
	if err == nil && s.then != nil {
		err = s.then(ctx)
	}
	return r, err
}

// newHalfway is a team whose first node has such a store.
func newHalfway(t *testing.T, open opener) (*team, *halfway) {
	var s *halfway
	tm := newTeam(t, 2, open, func(cfg *relay.Config) {
		if s == nil {
			s = &halfway{Store: cfg.Store}
			cfg.Store = s
		}
	})
	return tm, s
}

// TestAnswerInterrupted has a node die between the two steps of an answer. Whatever comes next
// finds the request answered, and the answer is there.
func TestAnswerInterrupted(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm, dies := newHalfway(t, open)
		asker := tm.key("kb_asker", store.APIKey{})
		const other = 1
		for name, next := range map[string]func(q teamAsk) (answer, api.Code){
			"get": func(q teamAsk) (answer, api.Code) { return tm.call(other, asker, "GET", api.PathRequest+q.ID, ""), "" },
			"withdraw": func(q teamAsk) (answer, api.Code) {
				return tm.call(other, asker, "DELETE", api.PathRequest+q.ID, ""), api.CodeConflict
			},
			"inspect":  func(q teamAsk) (answer, api.Code) { return tm.call(other, "", "GET", q.claim+"/inspect", ""), "" },
			"question": func(q teamAsk) (answer, api.Code) { return tm.call(other, "", "GET", q.question, ""), api.CodeConflict },
			"another": func(q teamAsk) (answer, api.Code) {
				return tm.call(other, "", "POST", q.question, sealedAnswer("bm8="), key, keyTwo), api.CodeConflict
			},
			"repeated": func(q teamAsk) (answer, api.Code) {
				return tm.call(other, "", "POST", q.question, sealedAnswer("eWVz"), key, keyOne), ""
			},
		} {
			q := tm.ask(other, asker, askBody)
			dies.then = func(context.Context) error { return store.ErrUnavailable }
			if a := tm.call(0, "", "POST", q.question, sealedAnswer("eWVz"), key, keyOne); a.status != http.StatusServiceUnavailable {
				t.Fatalf("%s: %d %s", name, a.status, a.body)
			}
			dies.then = nil
			if a, code := next(q); code != "" {
				wantError(t, a, code, "answered")
			} else if a.status/100 != 2 || name != "inspect" && !strings.Contains(string(a.body), `"status":"answered"`) {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
			if k, err := tm.db.Get(t.Context(), "\x01request:kb_asker", q.ID, tm.clock.Now()); err != nil || k.Status != store.Burned {
				t.Errorf("%s: the request is stored as %+v, %v", name, k, err)
			}
			wantError(t, tm.call(0, "", "GET", q.question, ""), api.CodeConflict, "answered")
			if a := tm.call(0, "", "POST", q.question, sealedAnswer("eWVz"), key, keyOne); a.status != http.StatusCreated {
				t.Errorf("%s, then the same answer: %d %s", name, a.status, a.body)
			}
			if got := tm.answered(0, q); got != "eWVz" {
				t.Errorf("%s: the answer is %q", name, got)
			}
		}
	})
}

// TestAnswerOfGoneClient cancels an answer between its two steps. The second one is taken.
func TestAnswerOfGoneClient(t *testing.T) {
	tm, s := newHalfway(t, overSQLite(t))
	q := tm.ask(1, tm.key("kb_asker", store.APIKey{}), askBody)
	ctx, gone := context.WithCancel(t.Context())
	s.then = func(ctx context.Context) error {
		gone()
		<-ctx.Done()
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, "POST", tm.nodes[0].URL+q.question, strings.NewReader(sealedAnswer("eWVz")))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := tm.nodes[0].Client().Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("the client has an answer")
	}
	testkit.Await(t, "the request to end", func() bool {
		k, err := tm.db.Get(t.Context(), "\x01request:kb_asker", q.ID, tm.clock.Now())
		return err == nil && k.Status == store.Burned
	})
	if got := tm.answered(1, q); got != "eWVz" {
		t.Errorf("the answer is %q", got)
	}
}

// TestAnswerTooLate ends requests between the two steps of an answer. The answer is refused,
// and is not there.
func TestAnswerTooLate(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm, late := newHalfway(t, open)
		asker := tm.key("kb_asker", store.APIKey{})
		for _, c := range []struct {
			name string
			end  func(q teamAsk) error
			code api.Code
			text string
		}{
			{"withdrawn", func(q teamAsk) error {
				_, err := tm.db.Delete(t.Context(), "\x01request:kb_asker", q.ID, tm.clock.Now())
				return err
			}, api.CodeGone, "withdrawn"},
			{"expired", func(q teamAsk) error {
				_, err := tm.db.Sweep(t.Context(), q.ExpiresAt.Time, 24*time.Hour, 100)
				return err
			}, api.CodeExpired, "expired"},
			{"expired, and not swept yet", func(q teamAsk) error {
				tm.clock.Advance(q.ExpiresAt.Sub(tm.clock.Now()))
				return nil
			}, api.CodeExpired, "expired"},
			{"removed", func(q teamAsk) error {
				_, first := tm.db.Sweep(t.Context(), q.ExpiresAt.Time, 24*time.Hour, 100)
				_, second := tm.db.Sweep(t.Context(), q.ExpiresAt.Add(time.Minute), time.Second, 100)
				return errors.Join(first, second)
			}, api.CodeNotFound, "no such request"},
		} {
			q := tm.ask(1, asker, askBody)
			tm.clock.Advance(10 * time.Minute) // the answer outlives the request
			late.then = func(context.Context) error { return c.end(q) }
			wantError(t, tm.call(0, "", "POST", q.question, sealedAnswer("bm8="), key, keyOne), c.code, c.text)
			late.then = nil
			wantError(t, tm.call(0, "", "POST", q.question, sealedAnswer("bm8="), key, keyOne), c.code, c.text)
			if got := tm.answered(1, q); got != "" {
				t.Errorf("%s: an answer is there", c.name)
			}
			if c.name == "removed" {
				continue
			}
			// The same, but the node dies before it deletes the answer.
			q = tm.ask(1, asker, askBody)
			tm.clock.Advance(10 * time.Minute)
			late.then = func(context.Context) error { return errors.Join(c.end(q), store.ErrUnavailable) }
			tm.call(0, "", "POST", q.question, sealedAnswer("bm8="), key, keyOne)
			late.then = nil
			for _, a := range []answer{tm.call(1, "", "GET", q.claim+"/inspect", ""), tm.call(1, "", "POST", q.claim+"/claim", "")} {
				wantError(t, a, c.code, c.text)
			}
		}
	})
}

// TestAnswerAgainstExpiry races an answer against the expiry of its request. Whoever has seen
// one of the two ends does not see the other one later.
func TestAnswerAgainstExpiry(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 2, open, nil)
		asker := tm.key("kb_asker", store.APIKey{})
		won := map[bool]int{}
		for round := range 40 {
			q := tm.ask(0, asker, askBody)
			tm.clock.Advance(q.ExpiresAt.Sub(tm.clock.Now()) - time.Millisecond)
			var a answer
			var seen []api.RequestStatus
			var wg sync.WaitGroup
			wg.Go(func() { a = tm.call(0, "", "POST", q.question, sealedAnswer("eA==")) })
			wg.Go(func() {
				time.Sleep(time.Duration(round%10) * 300 * time.Microsecond)
				tm.clock.Advance(time.Millisecond)
				seen = append(seen, tm.asked(1, asker, q.ID).Status)
				if _, err := tm.relays[1].Sweep(t.Context()); err != nil {
					t.Error(err)
				}
				seen = append(seen, tm.asked(1, asker, q.ID).Status)
			})
			wg.Wait()
			content, status := tm.answered(0, q), tm.asked(0, asker, q.ID).Status
			is := a.status == http.StatusCreated
			won[is]++
			if is && (content != "eA==" || status != api.RequestAnswered) ||
				!is && (a.status != http.StatusGone || content != "" || status != api.RequestExpired) {
				t.Errorf("answer: %d %s; then %s, %q", a.status, a.body, status, content)
			}
			if seen[0] != status || seen[1] != status {
				t.Errorf("seen %v, then %s", seen, status)
			}
		}
		t.Logf("answers won %d times, expiries %d times", won[true], won[false])
	})
}

// TestAnswerAgainstWithdraw races an answer against the withdrawal of its request. Exactly one
// of them succeeds.
func TestAnswerAgainstWithdraw(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 2, open, nil)
		asker := tm.key("kb_asker", store.APIKey{})
		won := map[bool]int{}
		for range 40 {
			q := tm.ask(0, asker, askBody)
			var answers, withdrawal answer
			var wg sync.WaitGroup
			wg.Go(func() { answers = tm.call(0, "", "POST", q.question, sealedAnswer("eA==")) })
			wg.Go(func() { withdrawal = tm.call(1, asker, "DELETE", api.PathRequest+q.ID, "") })
			wg.Wait()
			content, status := tm.answered(0, q), tm.asked(1, asker, q.ID).Status
			is := answers.status == http.StatusCreated
			won[is]++
			if is && (withdrawal.status != http.StatusConflict || content != "eA==" || status != api.RequestAnswered) ||
				!is && (answers.status != http.StatusGone || withdrawal.status != http.StatusOK || content != "" || status != api.RequestWithdrawn) {
				t.Errorf("answer: %d %s; withdrawal: %d %s; then %s, %q", answers.status, answers.body, withdrawal.status, withdrawal.body, status, content)
			}
		}
		t.Logf("answers won %d times, withdrawals %d times", won[true], won[false])
	})
}
