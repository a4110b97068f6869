package claims_test

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/local"
	"kubbi-mcp/tools/claims"
)

// passing is a relay, and what is claimed from it together.
type passing struct {
	t       *testing.T
	client  *kubbi.Client
	claimer *claims.Claimer
	urls    []string
}

func newPassing(t *testing.T, contents ...string) *passing {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	const origin = "http://127.0.0.1:7117"
	relay, err := local.New(local.Config{Dir: dir, Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	client, err := kubbi.NewClient("", kubbi.WithBaseURL(origin), kubbi.WithMiddleware(relay.RoundTripper))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	p := &passing{t: t, client: client, claimer: claims.New(client, claims.NewState(dir), "", nil)}
	t.Cleanup(p.claimer.Close)
	for _, content := range contents {
		sent, err := client.Send(t.Context(), kubbi.SendParams{Content: content, MaxRetrievals: 1})
		if err != nil {
			t.Fatal(err)
		}
		p.urls = append(p.urls, sent.ClaimURL)
	}
	return p
}

// pass claims the URLs together and gives what was passed on.
func (p *passing) pass(urls []string, check func(int) error, write error) ([]string, error) {
	p.t.Helper()
	var reqs []claims.Request
	for _, url := range urls {
		reqs = append(reqs, claims.Request{URL: url, Repeat: claims.RepeatAny})
	}
	var passed []string
	_, err := p.claimer.PassAll(p.t.Context(), reqs, func(i int, _ *kubbi.Inspected) error { return check(i) }, func(got []*kubbi.Claimed) error {
		for _, g := range got {
			r, err := g.Parts[0].Open()
			if err != nil {
				return err
			}
			b, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			passed = append(passed, string(b))
		}
		return write
	})
	return passed, err
}

func fits(int) error { return nil }

// claimed tells whether a kubbi was claimed.
func (p *passing) claimed(url string) bool {
	p.t.Helper()
	seen, err := p.client.Inspect(p.t.Context(), url)
	if err != nil && !errors.Is(err, kubbi.ErrGone) {
		p.t.Fatal(err)
	}
	return err != nil || seen.RetrievalCount > 0
}

// TestPassAllRefused refuses the last of three: none is claimed.
func TestPassAllRefused(t *testing.T) {
	p := newPassing(t, "one", "two", "three")
	refusal := errors.New("does not fit")
	_, err := p.pass(p.urls, func(i int) error {
		if i == 2 {
			return refusal
		}
		return nil
	}, nil)
	if !errors.Is(err, refusal) {
		t.Fatalf("error %v", err)
	}
	for _, url := range p.urls {
		if p.claimed(url) {
			t.Error("a kubbi was claimed")
		}
	}
	if got, err := p.pass(p.urls, fits, nil); err != nil || !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("passed %q, %v", got, err)
	}
}

// TestPassAllNotWritten fails to pass on what was claimed. Each can be claimed again.
func TestPassAllNotWritten(t *testing.T) {
	p := newPassing(t, "one", "two")
	broken := errors.New("broken")
	_, err := p.pass(p.urls, fits, broken)
	unsaved, ok := errors.AsType[*claims.Unsaved](err)
	if !ok || !errors.Is(err, broken) || unsaved.Grace <= 0 {
		t.Fatalf("error %v", err)
	}
	if got, err := p.pass(p.urls, fits, nil); err != nil || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("passed %q, %v", got, err)
	}
	if _, err := p.pass(p.urls[:1], fits, nil); !errors.Is(err, kubbi.ErrGone) {
		t.Errorf("after it was passed on: %v", err)
	}
}

// TestPassAllLosesRace loses the second of three to somebody else, after all were
// inspected. The first can be claimed again, and the third was not claimed.
func TestPassAllLosesRace(t *testing.T) {
	p := newPassing(t, "one", "two", "three")
	_, err := p.pass(p.urls, func(i int) error {
		if i != 2 {
			return nil
		}
		_, err := p.client.Claim(t.Context(), p.urls[1])
		return err
	}, nil)
	unsaved, ok := errors.AsType[*claims.Unsaved](err)
	if !ok || !errors.Is(err, kubbi.ErrGone) || unsaved.Grace <= 0 {
		t.Fatalf("error %v", err)
	}
	if p.claimed(p.urls[2]) {
		t.Error("the third was claimed")
	}
	if got, err := p.pass([]string{p.urls[0], p.urls[2]}, fits, nil); err != nil || !slices.Equal(got, []string{"one", "three"}) {
		t.Errorf("passed %q, %v", got, err)
	}
}
