//go:build unix

package local_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

// Idempotency keys, as clients make them.
const (
	keyK = "k-0123456789abcdefghijklmn"
	keyL = "l-0123456789abcdefghijklmn"
)

// ask sends a request through a client, with headers "name", "value", ..., and
// gives status and body.
func ask(t *testing.T, c *http.Client, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	req := request(t, method, url, body)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// createOnceAt makes a kubbi that may be claimed once.
func createOnceAt(t *testing.T, r *local.Relay, addr, content string) string {
	t.Helper()
	status, body := ask(t, client(r), "POST", "http://"+addr+"/api/v1/kubbis",
		`{"content":"`+content+`","content_type":"text/plain","ttl_seconds":600,"max_retrievals":1}`)
	_, token, _ := strings.Cut(body, "/r/")
	if status != 201 || len(token) < 43 {
		t.Fatalf("%d %s", status, body)
	}
	return token[:43]
}

// neighbours starts relays of different data directories at one address. The first one
// gets it.
func neighbours(t *testing.T, n int) (addr string, all []serving) {
	t.Helper()
	addr = testkit.MustFreeAddr(t)
	for i := range n {
		s := serve(t, filepath.Join(t.TempDir(), "kubbi"), addr)
		word := `"relay listens"`
		if i > 0 {
			word = "relay listens for other relays"
		}
		testkit.Await(t, "it listens", func() bool { return strings.Contains(s.log.String(), word) })
		all = append(all, s)
	}
	return addr, all
}

// TestNeighbours checks that a claim URL of any data directory on the machine can be
// claimed by processes of the others and by curl, whoever has the address, and once.
func TestNeighbours(t *testing.T) {
	addr, all := neighbours(t, 3)
	asking := map[string]*http.Client{"curl": plain}
	for i, s := range all {
		asking[string(rune('A'+i))] = client(s.relay)
	}
	onlooker := newRelay(t, local.Config{Dir: filepath.Join(t.TempDir(), "fourth"), Origin: "http://" + addr})
	asking["one that does not listen"] = client(onlooker)
	for i, maker := range all {
		for name, c := range asking {
			content := name + " of " + string(rune('A'+i))
			token := createOnceAt(t, maker.relay, addr, content)
			base := "http://" + addr + "/r/" + token
			for _, path := range []string{"", "/inspect"} {
				if status, body := ask(t, c, "GET", base+path, ""); status != 200 || !strings.Contains(body, `"retrieval_count":0`) {
					t.Fatalf("%s: %d %s", content, status, body)
				}
			}
			// A lost answer is given again for its key only.
			for range 2 {
				if status, body := ask(t, c, "POST", base+"/claim", "", api.HeaderIdempotencyKey, keyK); status != 200 || !strings.Contains(body, content) {
					t.Fatalf("%s: %d %s", content, status, body)
				}
			}
			if status, _ := ask(t, c, "POST", base+"/claim", "", api.HeaderIdempotencyKey, keyL); status != 410 {
				t.Errorf("%s: a second claim: %d", content, status)
			}
			if status, body := ask(t, c, "DELETE", base+"/claim", "", api.HeaderIdempotencyKey, keyK); status != 204 {
				t.Errorf("%s: end of the grace: %d %s", content, status, body)
			}
			if status, _ := ask(t, c, "POST", base+"/claim", "", api.HeaderIdempotencyKey, keyK); status != 410 {
				t.Errorf("%s: after the grace: %d", content, status)
			}
		}
	}
	for _, s := range all {
		if strings.Contains(s.log.String(), "WARN") {
			t.Errorf("a neighbour is no stranger: %s", s.log)
		}
	}
}

// TestNeighboursAnswer asks at one process, and answers through others.
func TestNeighboursAnswer(t *testing.T) {
	addr, all := neighbours(t, 2)
	base := "http://" + addr
	for i, asker := range all {
		other := client(all[1-i].relay)
		status, body := ask(t, client(asker.relay), "POST", base+api.PathRequests, `{"message":"a key","fields":[{"name":"KEY"}],"ttl_seconds":600}`)
		var asked api.AskResponse
		if err := json.Unmarshal([]byte(body), &asked); err != nil || status != 201 {
			t.Fatalf("%d %s", status, body)
		}
		for _, c := range []*http.Client{other, plain} {
			if status, body := ask(t, c, "GET", asked.RequestURL, ""); status != 200 || !strings.Contains(body, `"a key"`) {
				t.Errorf("question: %d %s", status, body)
			}
		}
		const answer = `{"files":[{"name":"sealed","content_type":"application/vnd.kubbi.sealed","encoding":"base64","content":"eA=="}],` +
			`"metadata":{"sealed":{"v":2,"kid":"k","to":[{"kid":"k","key":"k"}]}}}`
		for range 2 {
			if status, body := ask(t, other, "POST", asked.RequestURL, answer, api.HeaderIdempotencyKey, keyK); status != 201 {
				t.Errorf("answer: %d %s", status, body)
			}
		}
		if status, _ := ask(t, plain, "POST", asked.RequestURL, answer, api.HeaderIdempotencyKey, keyL); status != 409 {
			t.Errorf("a second answer: %d", status)
		}
		if status, body := ask(t, client(asker.relay), "GET", base+api.PathRequest+asked.ID, ""); status != 200 || !strings.Contains(body, `"answered"`) {
			t.Errorf("get: %d %s", status, body)
		}
		if status, body := ask(t, client(asker.relay), "POST", asked.ClaimURL+"/claim", ""); status != 200 || !strings.Contains(body, `"eA=="`) {
			t.Errorf("claim: %d %s", status, body)
		}
	}
}

// TestNeighboursRace claims one kubbi through different processes: one succeeds.
func TestNeighboursRace(t *testing.T) {
	addr, all := neighbours(t, 2)
	token := createOnceAt(t, all[1].relay, addr, "for one")
	var mu sync.Mutex
	got := map[int]int{}
	var wg sync.WaitGroup
	for i := range 12 {
		c := []*http.Client{client(all[0].relay), client(all[1].relay), plain}[i%3]
		wg.Go(func() {
			status, _ := ask(t, c, "POST", "http://"+addr+"/r/"+token+"/claim", "")
			mu.Lock()
			defer mu.Unlock()
			got[status]++
		})
	}
	wg.Wait()
	if got[200] != 1 || got[410] != 11 {
		t.Errorf("answers %v", got)
	}
}

// TestNeighboursPage opens the page of a neighbour's kubbi and presses its button.
func TestNeighboursPage(t *testing.T) {
	addr, all := neighbours(t, 2)
	base := "http://" + addr + "/r/" + createOnceAt(t, all[1].relay, addr, "in a browser")
	if status, body := ask(t, plain, "GET", base, "", "Accept", "text/html"); status != 200 || !strings.Contains(body, "<form") {
		t.Fatalf("%d %.300s", status, body)
	}
	form := []string{"Accept", "text/html", "Content-Type", "application/x-www-form-urlencoded"}
	if status, _ := ask(t, plain, "POST", base+"/claim", "key="+keyK, append(form, "Origin", "http://elsewhere.test")...); status != 400 {
		t.Errorf("another site's form: %d", status)
	}
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}, {"Content-Type", "text/plain", "Origin", "http://elsewhere.test"}} {
		if status, _ := ask(t, plain, "POST", base+"/claim", "", headers...); status != 400 {
			t.Errorf("another site's request %q: %d", headers, status)
		}
	}
	if status, body := ask(t, plain, "POST", base+"/claim", "key="+keyK, append(form, "Origin", "http://"+addr)...); status != 200 || !strings.Contains(body, "in a browser") {
		t.Errorf("%d %.300s", status, body)
	}
}

// TestNeighboursLarge claims a large payload of a neighbour.
func TestNeighboursLarge(t *testing.T) {
	addr, all := neighbours(t, 2)
	content := strings.Repeat("0123456789abcdef", 1<<16)
	token := createOnceAt(t, all[1].relay, addr, content)
	if status, body := ask(t, client(all[0].relay), "POST", "http://"+addr+"/r/"+token+"/claim", ""); status != 200 || !strings.Contains(body, content) {
		t.Errorf("%d, %d bytes", status, len(body))
	}
}

// TestNeighboursTakeOver ends the process that has the address. Another one takes it and
// leaves its spare port. Processes of one directory share a spare port.
func TestNeighboursTakeOver(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kubbi")
	addr, all := neighbours(t, 1)
	second := serve(t, dir, addr)
	spare := func(s serving) bool { return strings.Contains(s.log.String(), "relay listens for other relays") }
	testkit.Await(t, "the second has a spare port", func() bool { return spare(second) })
	third := serve(t, dir, addr)
	testkit.Await(t, "the third has met the first", func() bool { return strings.Contains(third.log.String(), "another data directory") })
	token := createOnceAt(t, third.relay, addr, "x")
	if status, body := ask(t, client(all[0].relay), "GET", "http://"+addr+"/r/"+token, ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if spare(third) {
		t.Error("two processes of one directory have spare ports")
	}
	second.stop()
	testkit.Await(t, "the third takes the spare port", func() bool { return spare(third) })
	all[0].stop()
	testkit.Await(t, "the third takes the address", func() bool { return strings.Contains(third.log.String(), `"relay listens" addr=`+addr) })
	if status, body := ask(t, plain, "GET", "http://"+addr+"/r/"+token, ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

// TestImpostor has programs that claim to be a neighbour, even with a neighbour's own
// answers. They never get a token or an API key.
func TestImpostor(t *testing.T) {
	t.Parallel()
	spareOf := testkit.MustFreeAddr(t)
	genuine := httptest.NewServer(nil) // only its address is used
	genuine.Close()
	victim := newRelay(t, local.Config{Dir: filepath.Join(t.TempDir(), "victim"), Origin: "http://" + spareOf})
	at := httptest.NewServer(victim.Handler())
	defer at.Close()
	to, err := url.Parse(at.URL)
	if err != nil {
		t.Fatal(err)
	}
	passOn := httputil.NewSingleHostReverseProxy(to)
	for name, handler := range map[string]http.Handler{
		"one that passes the challenge on": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Host = "127.0.0.1"
			passOn.ServeHTTP(w, r)
		}),
		"one that knows the public key": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			victim.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "http://127.0.0.1/health", nil))
			w.Header().Set("Kubbi-Relay", rec.Header().Get("Kubbi-Relay"))
			w.Header().Set("Kubbi-Relay-Proof", strings.Repeat("A", 86))
			io.WriteString(w, `{"status":"ok","database":"connected"}`)
		}),
		"a web server": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"content":"x"}`) }),
		"one that is silent": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []string
			impostor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen = append(seen, r.Method+" "+r.URL.Path)
				if r.Header.Get("Authorization") != "" {
					t.Error("the API key was shown")
				}
				mu.Unlock()
				handler.ServeHTTP(w, r)
			}))
			defer impostor.Close()
			addr := impostor.Listener.Addr().String()
			r := newRelay(t, local.Config{Dir: filepath.Join(t.TempDir(), "kubbi"), Origin: "http://" + addr})
			token := createOnceAt(t, victim, spareOf, "x")
			status, body := ask(t, client(r), "GET", "http://"+addr+"/r/"+token+"/inspect", "")
			if status != 404 || !strings.Contains(body, "held by another program") ||
				strings.Contains(body, "--allow-origin") != (name == "one that knows the public key") {
				t.Errorf("%d %s", status, body)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(seen) == 0 {
				t.Error("it was not even asked who it is")
			}
			for _, s := range seen {
				if s != "GET /health" {
					t.Errorf("it was asked %s", strings.ReplaceAll(s, token, "TOKEN"))
				}
			}
		})
	}
}

// TestNeighbourLosesTheAnswer loses the answer of a claim that has counted. It is given
// again for its key only.
func TestNeighbourLosesTheAnswer(t *testing.T) {
	addr := testkit.MustFreeAddr(t)
	maker := newRelay(t, local.Config{Dir: filepath.Join(t.TempDir(), "maker"), Origin: "http://" + addr})
	r := newRelay(t, local.Config{Dir: filepath.Join(t.TempDir(), "kubbi"), Origin: "http://" + addr})
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var lose atomic.Int32
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != "POST" || lose.Add(-1) < 0 {
			maker.Handler().ServeHTTP(w, req)
			return
		}
		rec := httptest.NewRecorder()
		maker.Handler().ServeHTTP(rec, req)
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(rec.Body.Bytes()[:10])
		panic(http.ErrAbortHandler)
	})}
	go srv.Serve(ln)
	defer srv.Close()
	for name, content := range map[string]string{"short": "a short text", "long": strings.Repeat("long ", 50_000)} {
		base := "http://" + addr + "/r/" + createOnceAt(t, maker, addr, content)
		lose.Store(1)
		req := request(t, "POST", base+"/claim", "")
		req.Header.Set(api.HeaderIdempotencyKey, keyK)
		resp, err := client(r).Do(req)
		if err == nil {
			b, rerr := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err = rerr; err == nil {
				t.Errorf("%s: a cut answer is taken for a whole one: %d %s", name, resp.StatusCode, b)
			}
		}
		if status, _ := ask(t, client(r), "POST", base+"/claim", "", api.HeaderIdempotencyKey, keyL); status != 410 {
			t.Errorf("%s: under another key: %d", name, status)
		}
		if status, body := ask(t, client(r), "POST", base+"/claim", "", api.HeaderIdempotencyKey, keyK); status != 200 || !strings.Contains(body, content) {
			t.Errorf("%s: under its key: %d %.100s", name, status, body)
		}
	}
}

// TestForwardedOnce checks that a forwarded request is not forwarded again.
func TestForwardedOnce(t *testing.T) {
	addr, all := neighbours(t, 2)
	token := createOnceAt(t, all[1].relay, addr, "x")
	if status, _ := ask(t, plain, "GET", "http://"+addr+"/r/"+token, "", "Kubbi-Relay-Forwarded", "1"); status != 404 {
		t.Errorf("passed on: %d", status)
	}
	for _, path := range []string{"/api/v1/kubbis", "/health", "/r/" + token + "/other", "/r/" + token + "x"} {
		if status, body := ask(t, plain, "GET", "http://"+addr+path, ""); strings.Contains(body, `"active"`) || status == 500 {
			t.Errorf("%s: %d %s", strings.ReplaceAll(path, token, "TOKEN"), status, body)
		}
	}
}

// TestDeadOrFromElsewhere checks that the answer tells a dead claim URL from one that was
// made elsewhere, and then says how two machines share a relay.
func TestDeadOrFromElsewhere(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRelay(t, local.Config{Dir: filepath.Join(t.TempDir(), "kubbi"), Now: func() time.Time { return now }})
	addr := strings.TrimPrefix(origin, "http://")
	token := createOnceAt(t, r, addr, "x")
	at := func(token string) (int, string) {
		return ask(t, client(r), "POST", origin+"/r/"+token+"/claim", "")
	}
	now = now.Add(2 * time.Hour)
	if status, body := at(token); status != 410 {
		t.Errorf("expired: %d %s", status, body)
	}
	now = now.Add(50 * time.Hour)
	for range 2 { // one wipes, one forgets
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(50 * time.Hour)
	}
	if status, body := at(token); status != 404 || !strings.Contains(body, "made here, has ended long ago") || strings.Contains(body, "KUBBI_BASE_URL") {
		t.Errorf("dead: %d %s", status, body)
	}
	other := newRelay(t, local.Config{Dir: filepath.Join(t.TempDir(), "other machine")})
	token = createOnceAt(t, other, addr, "x")
	if status, body := at(token); status != 404 || !strings.Contains(body, "KUBBI_BASE_URL") || strings.Contains(body, "long ago") || strings.Contains(body, token[:10]) {
		t.Errorf("from elsewhere: %d %s", status, body)
	}
}
