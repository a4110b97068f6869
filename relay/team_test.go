package relay_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// team is a group of relays that serve one store, like the nodes of a service. Each has
// opened the store itself. Their clock moves only by Advance.
type team struct {
	t     testing.TB
	clock *relaytest.Clock
	db    store.Store // opened once more
	nodes []*httptest.Server

	relays []*relay.Relay // of the nodes; Run is not called
}

// opener opens a store once more.
type opener func() (store.Store, error)

// overSQLite makes an opener of a new file.
func overSQLite(t testing.TB) opener {
	path := filepath.Join(t.TempDir(), "kubbi.db")
	return func() (store.Store, error) { return sqlite.Open(t.Context(), sqlite.Config{Path: path}) }
}

// overEach runs a test over each kind of store.
func overEach(t *testing.T, test func(t *testing.T, open opener)) {
	t.Run("sqlite", func(t *testing.T) { test(t, overSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, overPostgres(t)) })
}

// newTeam starts n relays over one store. change may change the configuration of each
// before it starts.
func newTeam(t testing.TB, n int, open opener, change func(*relay.Config)) *team {
	t.Helper()
	ring, err := atrest.NewKeyring(zeros{}, start)
	if err != nil {
		t.Fatal(err)
	}
	tm := &team{t: t, clock: relaytest.StoppedAt(start)}
	opened := func() store.Store {
		db, err := open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
	tm.db = opened()
	for range n {
		cfg := relay.Config{Store: opened(), Keyring: fixedKeyring{ring}, Origin: "https://relay.test", Now: tm.clock.Now}
		if change != nil {
			change(&cfg)
		}
		rl, err := relay.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(rl)
		t.Cleanup(srv.Close)
		tm.nodes, tm.relays = append(tm.nodes, srv), append(tm.relays, rl)
	}
	return tm
}

// key makes an API key with an owner of its own, unless k names one.
func (tm *team) key(text string, k store.APIKey) string {
	tm.t.Helper()
	k.Hash, k.CreatedAt = relay.HashSecret(text), start
	if k.Owner == "" {
		k.Owner = text
	}
	if err := tm.db.PutAPIKey(tm.t.Context(), k); err != nil {
		tm.t.Fatal(err)
	}
	return text
}

// call sends a request to one of the nodes, with an API key unless that is "".
// Headers come in pairs.
func (tm *team) call(node int, key, method, path, body string, headers ...string) answer {
	req, err := http.NewRequestWithContext(tm.t.Context(), method, tm.nodes[node].URL+path, strings.NewReader(body))
	if err != nil {
		tm.t.Error(err)
		return answer{}
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := tm.nodes[node].Client().Do(req)
	if err != nil {
		tm.t.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tm.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

const small = `{"content":"x","content_type":"text/plain","ttl_seconds":3600}`

func (tm *team) create(node int, key, body string) api.CreateResponse {
	tm.t.Helper()
	a := tm.call(node, key, "POST", api.PathKubbis, body)
	if a.status != http.StatusCreated {
		tm.t.Fatalf("create: %d %.300s", a.status, a.body)
	}
	var c api.CreateResponse
	decode(tm.t, a.body, &c)
	return c
}

// fixedKeyring is a keyring that never changes.
type fixedKeyring struct{ ring *atrest.Keyring }

func (k fixedKeyring) Current() *atrest.Keyring         { return k.ring }
func (k fixedKeyring) Reload(ctx context.Context) error { return ctx.Err() }
