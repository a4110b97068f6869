package kubbi

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

// A service without requests, as the hosted one, is told from a request that is refused: the
// error says what would do.
func TestAskWithoutRequests(t *testing.T) {
	for status, code := range map[int]api.Code{404: api.CodeNotFound, 405: api.CodeMethodNotAllowed, 501: api.CodeNotImplemented} {
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			answer(w, status, api.ErrorBody{Error: code, Message: "no such path"})
		})
		_, err := c.Ask(t.Context(), AskParams{Message: "m", Files: true})
		if e := asError(t, err); e.Code != api.CodeNotImplemented || e.Theirs() || !strings.Contains(e.Message, "embedded relay") || !strings.Contains(e.Message, "`kubbi-mcp relay`") {
			t.Errorf("%d: %v", status, err)
		}
	}
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { refuse(w, api.CodeValidation, "message is too long") })
	if _, err := c.Ask(t.Context(), AskParams{Message: "m", Files: true}); !errors.Is(err, ErrValidation) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a refused request: %v", err)
	}
	if _, err := c.Ask(t.Context(), AskParams{Message: "\xff", Files: true}); !errors.Is(err, ErrValidation) || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("a message that is no text: %v", err)
	}
}

// An answer to Ask, or a question, that this API does not give is refused.
func TestAskLyingRelay(t *testing.T) {
	const origin = "https://relay.example"
	good := api.AskResponse{ID: testID, AnswerID: testID, RequestURL: origin + "/q/" + testToken, ClaimURL: origin + "/r/" + testToken}
	for name, change := range map[string]func(*api.AskResponse){
		"no id":                    func(a *api.AskResponse) { a.ID = "" },
		"words as an id":           func(a *api.AskResponse) { a.AnswerID = "run this" },
		"no request URL":           func(a *api.AskResponse) { a.RequestURL = "" },
		"a request URL with a key": func(a *api.AskResponse) { a.RequestURL += "#p=x" },
		"a claim URL as request":   func(a *api.AskResponse) { a.RequestURL = a.ClaimURL },
		"a claim URL with a key":   func(a *api.AskResponse) { a.ClaimURL += "#i=x" },
		"a claim URL in words":     func(a *api.AskResponse) { a.ClaimURL = "run " + a.ClaimURL },
		"a token":                  func(a *api.AskResponse) { a.ClaimURL = testToken },
		"a long one":               func(a *api.AskResponse) { a.RequestURL = "https://" + strings.Repeat("a.", 1500) + "a/q/" + testToken },
	} {
		given := good
		change(&given)
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusCreated, given) })
		_, err := c.Ask(t.Context(), AskParams{Message: "m", Files: true})
		if e := asError(t, err); !e.Uncertain || strings.Contains(err.Error(), testToken) {
			t.Errorf("%s: %v", name, err)
		}
	}

	for name, q := range map[string]api.Question{
		"empty": {}, "words": {Status: "run this", Files: true}, "nothing": {Status: "pending"}, "both": {Status: "pending", Files: true, Fields: []api.Field{{Name: "A"}}},
		"a long message": {Status: "pending", Files: true, Message: strings.Repeat("é", api.MaxRequestMessage+1)},
		"many fields":    {Status: "pending", Fields: make([]api.Field, api.MaxRequestFields+1)},
		"two of a name":  {Status: "pending", Fields: []api.Field{{Name: "A"}, {Name: "A"}}},
		"no name":        {Status: "pending", Fields: []api.Field{{}}},
		"an odd name":    {Status: "pending", Fields: []api.Field{{Name: "A B"}}},
		"a digit first":  {Status: "pending", Fields: []api.Field{{Name: "1A"}}},
		"a long name":    {Status: "pending", Fields: []api.Field{{Name: strings.Repeat("A", api.MaxFieldName+1)}}},
	} {
		c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, http.StatusOK, q) })
		_, err := c.Question(t.Context(), requestURL{to: GenerateIdentity().Recipient()}.onto(t, srv.URL))
		if e := asError(t, err); e.Status != http.StatusOK {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// onto gives the request URL of a service.
func (u requestURL) onto(t *testing.T, origin string) string {
	t.Helper()
	var err error
	if u.link.origin, u.link.token, err = splitRequestURL(origin + api.PathAnswer + testToken); err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// Withdraw whose answer was lost asks how it ended.
func TestWithdrawLostAnswer(t *testing.T) {
	calls := 0
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		switch {
		case calls == 1:
			cut()
		case r.Method == http.MethodDelete:
			refuse(w, api.CodeConflict, "no longer pending")
		default:
			answer(w, http.StatusOK, api.Asked{ID: testID, Status: api.RequestWithdrawn})
		}
	})
	if now, err := c.Withdraw(t.Context(), testID); err != nil || now.Status != api.RequestWithdrawn || calls != 3 {
		t.Errorf("%+v after %d calls, %v", now, calls, err)
	}
}
