package relay_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite/sqlitex"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// TestRequestLimits checks that the limits of an API key and of the relay hold for requests,
// and for their answers, whoever sends them.
func TestRequestLimits(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 1, open, nil)
		asker := tm.key("kb_asker", store.APIKey{MaxTTL: 30 * time.Minute, MaxBytes: 400, Rate: 12, Quota: store.Quota{Daily: 3, Active: 2}})
		other := tm.key("kb_other", store.APIKey{})
		wantMessages(t, tm.call(0, asker, "POST", api.PathRequests, askBody), []string{"ttl_seconds must be between 60 and 1800 with this API key"})
		body := strings.Replace(askBody, "3600", "1800", 1)

		// Requests and kubbis have a quota each. An answer counts as a kubbi.
		tm.create(0, asker, strings.Replace(small, "3600", "60", 1))
		one, two := tm.ask(0, asker, body), tm.ask(0, asker, body)
		wantError(t, tm.call(0, asker, "POST", api.PathRequests, body), api.CodeQuotaExceeded, "the quota of active kubbis of this API key is 2, and used up")
		var question api.Question
		if decode(t, tm.call(0, "", "GET", one.question, "").body, &question); question.Limits.Bytes != 400 {
			t.Errorf("limits %+v", question.Limits)
		}
		wantMessages(t, tm.call(0, "", "POST", one.question, sealedAnswer(strings.Repeat("AAAA", 134))), []string{"files must be at most 400 bytes together, and are 402"})
		if a := tm.call(0, "", "POST", one.question, sealedAnswer(strings.Repeat("AAAA", 133))); a.status != http.StatusCreated {
			t.Fatalf("answer: %d %s", a.status, a.body)
		}
		full := tm.call(0, "", "POST", two.question, sealedAnswer("eA=="))
		wantError(t, full, api.CodeQuotaExceeded, "whoever asked has as many kubbis as the quota of the API key allows")
		// The answer is not lost: it is taken as soon as there is room.
		tm.clock.Advance(time.Minute)
		if a := tm.call(0, "", "POST", two.question, sealedAnswer("eA==")); a.status != http.StatusCreated {
			t.Errorf("answer, later: %d %s", a.status, a.body)
		}
		three := tm.ask(0, asker, body)
		tm.clock.Advance(31 * time.Minute)
		wantError(t, tm.call(0, asker, "POST", api.PathRequests, body), api.CodeQuotaExceeded, "the daily quota of this API key is 3")
		wantError(t, tm.call(0, "", "POST", three.question, sealedAnswer("eA==")), api.CodeExpired, "")

		// The rate counts whatever the key does.
		tm.clock.Advance(time.Minute)
		for range 4 {
			for _, path := range []string{one.ID, two.ID, three.ID} {
				tm.asked(0, asker, path)
			}
		}
		wantError(t, tm.call(0, asker, "GET", api.PathRequest+one.ID, ""), api.CodeRateLimited, "the rate of this API key is 12")
		wantError(t, tm.call(0, asker, "DELETE", api.PathRequest+one.ID, ""), api.CodeRateLimited, "the rate of this API key is 12")

		// Of another owner nothing is seen.
		for _, method := range []string{"GET", "DELETE"} {
			wantError(t, tm.call(0, other, method, api.PathRequest+one.ID, ""), api.CodeNotFound, "no such request")
		}
	})
}

// TestRequestStorage fills a relay: it takes neither requests nor answers.
func TestRequestStorage(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) { c.MaxStorage = 1000 })
	asker := tm.key("kb_asker", store.APIKey{})
	q := tm.ask(0, asker, askBody)
	wantError(t, tm.call(0, "", "POST", q.question, sealedAnswer(strings.Repeat("AAAA", 334))), api.CodeQuotaExceeded, "the relay is full")
	filler := tm.create(0, asker, strings.Replace(small, `"x"`, `"`+strings.Repeat("x", 1000)+`"`, 1))
	wantError(t, tm.call(0, asker, "POST", api.PathRequests, askBody), api.CodeQuotaExceeded, "the relay is full")
	wantError(t, tm.call(0, "", "POST", q.question, sealedAnswer("eA==")), api.CodeQuotaExceeded, "the relay is full")
	tm.call(0, asker, "DELETE", api.PathKubbi+filler.ID, "")
	tm.clock.Advance(time.Second)
	if a := tm.call(0, "", "POST", q.question, sealedAnswer("eA==")); a.status != http.StatusCreated {
		t.Errorf("answer: %d %s", a.status, a.body)
	}
}

// TestRequestGuesses counts unknown request tokens like unknown claim tokens. A known one is
// always served.
func TestRequestGuesses(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) { c.GuessLimit = 4 })
	q := tm.ask(0, tm.key("kb_asker", store.APIKey{}), askBody)
	for i := range 2 {
		wantError(t, tm.call(0, "", "GET", api.PathAnswer+unknownToken(i), ""), api.CodeNotFound, "")
		wantError(t, tm.call(0, "", "POST", api.PathAnswer+unknownToken(i), sealedAnswer("eA==")), api.CodeNotFound, "")
	}
	wantError(t, tm.call(0, "", "GET", api.PathAnswer+unknownToken(9), ""), api.CodeRateLimited, "too many")
	wantError(t, tm.call(0, "", "POST", api.PathAnswer+unknownToken(9), sealedAnswer("eA==")), api.CodeRateLimited, "too many")
	wantError(t, tm.call(0, "", "POST", "/r/"+unknownToken(9)+"/claim", ""), api.CodeRateLimited, "too many")
	for range 6 {
		if a := tm.call(0, "", "GET", q.question, ""); a.status != http.StatusOK {
			t.Fatalf("question: %d %s", a.status, a.body)
		}
	}
	for i, want := range []int{201, 409, 409, 409, 409, 409, 409} {
		if a := tm.call(0, "", "POST", q.question, sealedAnswer("eA=="), key, fmt.Sprintf("answer-%d-0123456789abcdefghijk", i)); a.status != want {
			t.Errorf("answer %d: %d %s", i, a.status, a.body)
		}
	}
}

// TestRequestFromOtherSites has pages of other sites ask, answer and withdraw.
func TestRequestFromOtherSites(t *testing.T) {
	r := newRig(t)
	q := r.ask(askBody)
	for name, headers := range foreign {
		for _, req := range []struct{ method, path, body string }{
			{"POST", api.PathRequests, askBody},
			{"POST", r.path(q.RequestURL), sealedAnswer("eA==")},
			{"DELETE", api.PathRequest + q.ID, ""},
		} {
			if a := r.call(req.method, req.path, req.body, headers...); a.status != http.StatusBadRequest {
				t.Errorf("%s, %s %s: %d %.200s", name, req.method, req.path, a.status, a.body)
			}
		}
		if status := r.asked(q.ID).Status; status != api.RequestPending {
			t.Fatalf("%s: the request is %s", name, status)
		}
	}
	for path, a := range map[string]answer{"question": r.call("GET", r.path(q.RequestURL), ""), "answer": r.call("POST", r.path(q.RequestURL), sealedAnswer("eA=="))} {
		for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
			if got := a.header.Get(header); a.status/100 != 2 || got != want {
				t.Errorf("%s: %d, %s is %q", path, a.status, header, got)
			}
		}
	}
}

// TestRequestsAreTold checks the receipts of each end of a request, and that the answer itself
// gives none.
func TestRequestsAreTold(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		rc := newReceiver(t, nil)
		var seen outcomes
		tm := newTelling(t, 1, open, func(cfg *relay.Config) { cfg.Notify = telling(&seen, rc) })
		ask := func(events string) teamAsk {
			return tm.ask(0, producerKey, strings.TrimSuffix(askBody, "}")+`,"x_notify":{"notify_url":"`+rc.URL+`"`+events+`}}`)
		}
		tm.run(tm.relays...)
		is := func(q teamAsk, event, at string) {
			t.Helper()
			want := `{"type":"request.` + event + `","timestamp":"` + at + `","data":{"id":"` + q.ID + `","status":"` + event +
				`","created_at":"` + q.CreatedAt.Format("2006-01-02T15:04:05.000Z") + `","expires_at":"` + q.ExpiresAt.Format("2006-01-02T15:04:05.000Z") + `","ended_at":"` + at + `"}}`
			if got := rc.next(producerKey); string(got.body) != want {
				t.Errorf("receipt is %s,\nwant %s", got.body, want)
			}
		}
		q, quiet := ask(""), ask(`,"events":["expired"]`)
		tm.clock.Advance(time.Second)
		for _, q := range []teamAsk{quiet, q} {
			if a := tm.call(0, "", "POST", q.question, sealedAnswer("eA==")); a.status != http.StatusCreated {
				t.Fatalf("answer: %d %s", a.status, a.body)
			}
		}
		is(q, "answered", "2026-03-28T12:00:01.000Z")
		tm.answered(0, q)
		q = ask(`,"events":["withdrawn"]`)
		tm.call(0, producerKey, "DELETE", api.PathRequest+q.ID, "")
		is(q, "withdrawn", "2026-03-28T12:00:01.000Z")
		q = ask(`,"events":["answered","expired"]`)
		seen.wait(t, webhook.Delivered, 2)
		tm.clock.Advance(time.Hour)
		if _, err := tm.relays[0].Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(q, "expired", "2026-03-28T13:00:01.000Z")
		rc.none()
		for events, want := range map[string]string{
			`["burned"]`: "x_notify.events[0] must be one of answered, expired, withdrawn",
			`[]`:         "x_notify.events must be an array of 1 to 3 events",
		} {
			wantMessages(t, tm.call(0, producerKey, "POST", api.PathRequests, strings.TrimSuffix(askBody, "}")+`,"x_notify":{"notify_url":"`+rc.URL+`","events":`+events+`}}`), []string{want})
		}
	})
}

// TestRequestsLeaveNothing searches the log of debug level and the data directory for what a
// request holds, before and after its answer.
func TestRequestsLeaveNothing(t *testing.T) {
	var logged lockedBuffer
	r := newRig(t, relaytest.WithLogger(slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	const message, field = "m3ssage-marker", "F1ELD_MARKER"
	body := `{"message":"` + message + `","fields":[{"name":"` + field + `"}],"ttl_seconds":3600}`
	q := r.ask(body, key, keyOne)
	token, reply := strings.TrimPrefix(r.path(q.RequestURL), api.PathAnswer), strings.TrimPrefix(r.path(q.ClaimURL), api.PathClaim)
	clear := map[string][]byte{
		"message": []byte(message), "field": []byte(field), "request token": []byte(token), "claim token": []byte(reply),
		"raw request token": tokenBytes(t, token)[8:], "raw claim token": tokenBytes(t, reply)[8:], "idempotency key": []byte(keyOne),
	}
	search := func(when string) {
		t.Helper()
		for name, secret := range clear {
			if found := find(t, r.Dir, secret); found != "" {
				t.Errorf("%s: %s holds the %s", when, found, name)
			}
			if bytes.Contains([]byte(logged.String()), secret) {
				t.Errorf("%s: the log holds the %s", when, name)
			}
		}
	}
	search("asked")
	r.call("GET", r.path(q.RequestURL), "")
	r.call("PUT", r.path(q.RequestURL), "")
	r.call("GET", api.PathAnswer+reply, "")
	r.call("POST", r.path(q.RequestURL), `{"`+message+`"`)
	r.call("POST", r.path(q.RequestURL), sealedAnswer("eA=="), key, keyTwo)
	search("answered")
	r.call("POST", r.path(q.RequestURL), sealedAnswer("eA=="), key, keyTwo)
	r.call("POST", r.path(q.ClaimURL)+"/claim", "")
	r.call("GET", api.PathRequest+q.ID, "")
	r.Clock.Advance(48 * time.Hour)
	r.Sweep(t)
	search("removed")
	for _, want := range []string{`"route":"/q/{token}"`, `"route":"/api/v1/requests"`, `"route":"/api/v1/requests/{id}"`} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

// TestRequestNodeBehind has a node that lacks the master key of a request. It takes no answer
// that it can't store, and finds the key by itself once it is there.
func TestRequestNodeBehind(t *testing.T) {
	old, err := atrest.NewKeyring(rand.Reader, start)
	if err != nil {
		t.Fatal(err)
	}
	both, err := old.With(rand.Reader, start, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	var rings []*keyring.Live
	tm := newTeam(t, 2, overSQLite(t), func(cfg *relay.Config) {
		file := filepath.Join(t.TempDir(), "keyring.json")
		giveRing(t, file, old)
		ring, err := keyring.Open(t.Context(), keyring.Config{Source: keyring.File(file)})
		if err != nil {
			t.Fatal(err)
		}
		files, rings = append(files, file), append(rings, ring)
		cfg.Keyring = ring
	})
	const ahead, behind = 0, 1
	asker := tm.key("kb_asker", store.APIKey{})
	before := tm.ask(behind, asker, askBody)
	giveRing(t, files[ahead], both)
	if err := rings[ahead].Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	under := tm.ask(ahead, asker, askBody)
	var calls sync.WaitGroup
	for _, c := range []struct{ key, method, path, body string }{
		{"", "GET", under.question, ""}, {"", "POST", under.question, sealedAnswer("eA==")},
		{asker, "GET", api.PathRequest + under.ID, ""}, {asker, "DELETE", api.PathRequest + under.ID, ""},
	} {
		calls.Go(func() {
			if a := tm.call(behind, c.key, c.method, c.path, c.body); a.status != http.StatusServiceUnavailable {
				t.Errorf("%s %s without the key: %d %s", c.method, c.path, a.status, a.body)
			}
		})
	}
	calls.Wait()
	if asked := tm.asked(ahead, asker, under.ID); asked.Status != api.RequestPending {
		t.Errorf("the request is %s", asked.Status)
	}
	// A request under the old key is answered under the new one.
	if a := tm.call(ahead, "", "POST", before.question, sealedAnswer("eA==")); a.status != http.StatusCreated {
		t.Errorf("under the old key: %d %s", a.status, a.body)
	}
	giveRing(t, files[behind], both)
	if a := tm.call(behind, "", "POST", under.question, sealedAnswer("eA==")); a.status != http.StatusCreated {
		t.Errorf("with the key: %d %s", a.status, a.body)
	}
	for _, q := range []teamAsk{before, under} {
		if got := tm.answered(behind, q); got != "eA==" {
			t.Errorf("the answer is %q", got)
		}
	}
}

// TestTamperedRequests changes every column of the rows of requests, one at a time. A request
// is shown and answered as it was asked, or refused.
func TestTamperedRequests(t *testing.T) {
	t.Parallel()
	testkit.OnlyPlain(t, "one request at a time")
	r := newRig(t)
	db := openRows(t, r.Dir)
	other := r.ask(`{"message":"another","files":true,"ttl_seconds":60}`, key, keyTwo)
	numberOf := func(q api.AskResponse) int64 {
		return numberIn(t, strings.TrimPrefix(r.path(q.RequestURL), api.PathAnswer))
	}
	harmless := map[string][]string{"status": {"status", "message", "ended_at"}, "expires_at": {"status", "message", "expires_at", "ended_at"}}
	n := 0
	for _, column := range db.columns() {
		first := r.ask(askBody)
		for i, value := range others(db.value(column, numberOf(first)), db.value(column, numberOf(other))) {
			if !testkit.CI() && (len(column)+i)%3 != 0 {
				continue
			}
			n++
			q := r.ask(askBody, key, fmt.Sprintf("ask-%d-0123456789abcdefghij", n))
			number := numberOf(q)
			reads := map[string]func() answer{
				"question": func() answer { return r.call("GET", r.path(q.RequestURL), "") },
				"get":      func() answer { return r.call("GET", api.PathRequest+q.ID, "") },
			}
			want := map[string]any{}
			for name, read := range reads {
				want[name] = tree(t, read().body)
			}
			if err := sqlitex.Execute(db.c, "UPDATE kubbi SET "+column+" = ? WHERE number = ?", &sqlitex.ExecOptions{Args: []any{value, number}}); err != nil {
				continue // the data base itself refuses it
			}
			at := fmt.Sprintf("%s, change %d (%.40v)", column, i, value)
			for name, read := range reads {
				a := read()
				if a.status >= 400 {
					if column == "quota" || column == "notify" {
						t.Errorf("%s: %s: %d %s", at, name, a.status, a.body)
					}
					continue
				}
				if diff := cmp.Diff(without(want[name], harmless[column]), without(tree(t, a.body), harmless[column])); diff != "" {
					t.Errorf("%s: %s is believed (-want +got):\n%s", at, name, diff)
				}
			}
			a := r.call("POST", r.path(q.RequestURL), sealedAnswer("eA=="))
			claimed := r.call("POST", r.path(q.ClaimURL)+"/claim", "")
			if got := strings.Contains(string(claimed.body), `"content":"eA=="`); got != (a.status == http.StatusCreated) {
				t.Errorf("%s: the answer got %d, its claim %d", at, a.status, claimed.status)
			}
			db.exec("DELETE FROM kubbi WHERE owner LIKE ? AND number <> ?", "%request:%", numberOf(other))
		}
	}
	t.Logf("%d changes", n)
}

// tokenBytes are the bytes of a token. The first ones are its number, which is no secret.
func tokenBytes(t *testing.T, token string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
