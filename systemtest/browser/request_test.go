package browser

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// canary is in every value and every file that is answered.
const canary = "canary-5f0c1d"

// TestRequestPage answers requests in Chromium, as people do, and opens the answers as their
// asker. No answer is in clear in what the relay gets.
func TestRequestPage(t *testing.T) {
	t.Parallel()
	testkit.OnlyPlain(t, "one browser, and one request at a time")
	modules := testkit.Needs(t, "KUBBI_PAGE", "the node_modules folder with playwright-core and axe-core")
	chromium := findChromium(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	s := newAskSite(ctx, t)
	cmd := exec.CommandContext(ctx, "node", filepath.Join("testdata", "page", "request.mjs"))
	cmd.Env = append(os.Environ(), "KUBBI_SITE="+s.server.URL, "KUBBI_OUT="+t.TempDir(), "KUBBI_CHROMIUM="+chromium, "KUBBI_PAGE="+modules, "NO_PROXY=127.0.0.1,.test")
	cmd.WaitDelay = 10 * time.Second
	report, err := cmd.CombinedOutput()
	t.Logf("%s", report)
	if err != nil || !regexp.MustCompile(`(?m)^\d\d states passed, 0 failed$`).Match(report) {
		t.Errorf("request.mjs: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := bytes.Count(s.received.Bytes(), []byte("POST /q/")); n < 10 || s.opened < 8 {
		t.Errorf("%d answers came, %d were opened", n, s.opened)
	}
	for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), url.QueryEscape(canary), "STRIPE_KEY="} {
		if bytes.Contains(s.received.Bytes(), []byte(form)) {
			t.Errorf("the relay got %q in clear", form)
		}
	}
	for _, asked := range s.requests {
		if _, public, _ := strings.Cut(asked.RequestURL, "#p="); bytes.Contains(s.received.Bytes(), []byte(public)) {
			t.Error("the relay got the fragment of a link")
		}
	}
}

// askSite is a proxy before a relay. It records what browsers send, makes requests and opens
// their answers for the check, and loses or changes what it passes on, where that is asked.
type askSite struct {
	t      *testing.T
	ctx    context.Context
	server *httptest.Server
	relay  *relaytest.Server
	client *kubbi.Client
	next   *httputil.ReverseProxy

	mu       sync.Mutex
	received bytes.Buffer
	requests map[string]*kubbi.Request // by id
	lose     map[string]int            // by path: so many answers to a POST
	block    map[string]bool           // by path: no POST arrives
	change   map[string]bool           // by path: the message
	opened   int
	claimed  []string // links
}

func newAskSite(ctx context.Context, t *testing.T) *askSite {
	t.Helper()
	s := &askSite{t: t, ctx: ctx, relay: relaytest.New(t), requests: map[string]*kubbi.Request{}, lose: map[string]int{}, block: map[string]bool{}, change: map[string]bool{}}
	var err error
	if s.client, err = kubbi.NewClient(s.relay.APIKey, kubbi.WithBaseURL(s.relay.URL)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	u, err := url.Parse(s.relay.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.next = &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ModifyResponse: s.changed,
	}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// ServeHTTP makes a request at /ask/KIND, opens the answer at /open/ID, loses nothing more
// after /find (at /find?later the grace time is over, at /find?ID a request is withdrawn), and
// passes all else on.
func (s *askSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, ask := strings.CutPrefix(r.URL.Path, "/ask/")
	id, open := strings.CutPrefix(r.URL.Path, "/open/")
	if r.URL.Path == "/find" {
		s.mu.Lock()
		clear(s.lose)
		clear(s.block)
		s.mu.Unlock()
		if r.URL.RawQuery == "later" {
			s.relay.Clock.Advance(2 * time.Minute)
		} else if id := r.URL.RawQuery; id != "" {
			if _, err := s.client.Withdraw(s.ctx, id); err != nil {
				s.t.Error(err)
			}
		}
		return
	}
	if ask || open {
		var out any
		var err error
		if ask {
			out, err = s.ask(kind)
		} else {
			out, err = s.open(id)
		}
		if err != nil {
			s.t.Errorf("%s: %v", r.URL.Path, err)
			http.Error(w, "no", http.StatusInternalServerError)
		} else if err := json.NewEncoder(w).Encode(out); err != nil {
			s.t.Error(err)
		}
		return
	}
	if r.URL.Path == "/claim" {
		s.claim(w, r)
		return
	}
	dump, err := httputil.DumpRequest(r, true)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.received.Write(dump)
	if r.Method == http.MethodPost && s.block[r.URL.Path] {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	lost := r.Method == http.MethodPost && s.lose[r.URL.Path] > 0
	if lost {
		s.lose[r.URL.Path]--
	}
	s.mu.Unlock()
	if lost {
		s.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	s.next.ServeHTTP(w, r)
}

// changed changes the message in a page, as a relay could.
func (s *askSite) changed(a *http.Response) error {
	s.mu.Lock()
	change := s.change[a.Request.URL.Path]
	s.mu.Unlock()
	if !change || a.Request.Method != http.MethodGet {
		return nil
	}
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return err
	}
	b = bytes.ReplaceAll(b, []byte("staging"), []byte("production"))
	a.Body = io.NopCloser(bytes.NewReader(b))
	a.Header.Set("Content-Length", strconv.Itoa(len(b)))
	return nil
}

type askedHere struct {
	ID          string `json:"id"`
	URL         string `json:"url"`
	Fingerprint string `json:"fingerprint"`
}

func (s *askSite) ask(kind string) (out askedHere, err error) {
	p := kubbi.AskParams{
		Message: "The key for staging.\n<b>Not bold</b> \u202e é", TTL: time.Hour,
		Fields: []kubbi.Field{{Name: "STRIPE_KEY", Secret: true}},
	}
	switch kind {
	case "unknown":
		return askedHere{URL: s.server.URL + api.PathAnswer + strings.Repeat("A", 43) + "#p=" + strings.Repeat("A", 43)}, nil
	case "fields":
		// The second name would hide a method of the form if it were an input's name.
		p.Fields = append(p.Fields, kubbi.Field{Name: "querySelectorAll"}, kubbi.Field{Name: "PEM", Secret: true, Lines: true})
	case "files":
		p.Files, p.Fields = true, nil
	case "expired":
		p.TTL = time.Minute
	}
	r, err := s.client.Ask(s.ctx, p)
	if err != nil {
		return out, err
	}
	u, err := url.Parse(r.RequestURL)
	if err != nil {
		return out, err
	}
	s.mu.Lock()
	s.requests[r.ID] = r
	switch kind {
	case "lost-once":
		s.lose[u.Path] = 1
	case "lost":
		s.lose[u.Path] = 1000
	case "unreachable":
		s.block[u.Path] = true
	case "changed":
		s.change[u.Path] = true
	}
	s.mu.Unlock()
	switch kind {
	case "expired":
		s.relay.Clock.Advance(time.Minute)
	case "withdrawn":
		_, err = s.client.Withdraw(s.ctx, r.ID)
	case "answered":
		_, err = s.client.Answer(s.ctx, r.RequestURL, kubbi.AnswerParams{Values: map[string]string{"STRIPE_KEY": "x"}})
	}
	return askedHere{r.ID, s.server.URL + strings.TrimPrefix(r.RequestURL, s.relay.URL), r.Fingerprint}, err
}

// open gives the answer to a request as its asker gets it.
func (s *askSite) open(id string) (any, error) {
	s.mu.Lock()
	r := s.requests[id]
	s.opened++
	s.mu.Unlock()
	asked, err := s.client.Asked(s.ctx, id)
	if err != nil || asked.Status != api.RequestAnswered {
		return map[string]string{"status": string(asked.Status)}, err
	}
	c, err := s.client.Claim(s.ctx, r.ClaimURL)
	if errors.Is(err, kubbi.ErrSealed) {
		return map[string]string{"status": "does not open"}, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]any{"status": "opened"}
	if c.Files == nil {
		var values map[string]string
		err := c.Decode(&values)
		out["values"] = values
		return out, err
	}
	files := []map[string]string{}
	for _, f := range c.Files {
		files = append(files, map[string]string{"name": f.Name, "type": f.ContentType, "encoding": f.Encoding, "content": f.Content})
	}
	out["files"] = files
	return out, nil
}
