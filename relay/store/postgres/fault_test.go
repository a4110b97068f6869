//go:build unix

package postgres_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

func TestServerRestarts(t *testing.T) {
	own := pgtest.New(t)
	url := own.Database(t)
	l := startLoad(t, 1000, openStore(t, url), openStore(t, url))
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGINT, syscall.SIGQUIT} {
		before := l.done()
		wait(t, "work to go on", func() bool { return l.done() > before+20 })
		if err := own.Down(sig); err != nil {
			t.Fatal(err)
		}
		if err := own.Up(); err != nil {
			t.Fatal(err)
		}
	}
	l.finish(t)
}

// TestServerStaysDown checks that calls end in time, and work again without a new Store.
func TestServerStaysDown(t *testing.T) {
	own := pgtest.New(t)
	s := openStore(t, own.Database(t))
	k := newKubbi("team", 1)
	if _, err := s.Create(t.Context(), k, payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, 1000, s)
	if err := own.Down(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("claim: %v", err)
	}
	wait(t, "all callers to fail", func() bool { return l.failed() >= 8 })
	if err := own.Up(); err != nil {
		t.Fatal(err)
	}
	l.finish(t)
	if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
		t.Errorf("claim: %v", err)
	}
}

func TestConnectionsAreCut(t *testing.T) {
	own := pgtest.New(t)
	url := own.Database(t)
	l := startLoad(t, 20_000, openStore(t, url), openStore(t, url))
	for range 30 {
		own.Terminate(t)
		time.Sleep(50 * time.Millisecond)
	}
	l.finish(t)
}

// TestCreateInDoubt repeats creates whose connection was lost. Two creates may have the same
// id and token: a repeated one must not take the other's kubbi for its own.
func TestCreateInDoubt(t *testing.T) {
	s := openStore(t, cluster.Schema(t))
	mine := newKubbi("team", 1)
	other := *mine
	other.Secret[0]++
	now := store.MillisOf(t0)
	for _, c := range []struct {
		what string
		k    *store.Kubbi
		want error
	}{
		{"not committed", mine, nil},
		{"committed", mine, nil},
		{"another one was committed", &other, store.ErrExists},
	} {
		if err := s.CreateAgain(t, c.k, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}

// TestServerIsReadOnly has a server that refuses to write, like a standby to which
// connections still lead after a failover. They must not be used again.
func TestServerIsReadOnly(t *testing.T) {
	own := pgtest.New(t)
	url := own.Database(t)
	s := openStore(t, url)
	k := newKubbi("team", 1)
	if _, err := s.Create(t.Context(), k, payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		t.Fatal(err)
	}
	s.Set(t, "default_transaction_read_only", "on") // its only connection
	own.Exec(t, "ALTER DATABASE test1 SET default_transaction_read_only = on")
	if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("claim: %v", err)
	}
	if _, err := s.Get(t.Context(), "team", k.ID, t0); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "read only") {
		t.Errorf("get: %v", err)
	}
	own.Exec(t, "ALTER DATABASE test1 RESET default_transaction_read_only")
	if _, err := s.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
		t.Errorf("claim: %v", err)
	}
}
