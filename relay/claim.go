package relay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/atrest"
	"kubbi-mcp/relay/store"
)

const (
	maxWholeAnswer = 256 << 10 // payload bytes up to which an answer is made whole before it is sent
	answerBuffer   = 64 << 10
)

// claim answers POST /r/:token/claim. The payload is opened, encoded and sent
// chunk by chunk, so that a large one never stands in memory whole.
func (rl *Relay) claim(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	c, err := rl.take(h, r)
	if err != nil {
		return err
	}
	if c.Size <= maxWholeAnswer {
		var b bytes.Buffer
		b.Grow(int(c.Size) + int(c.Size)/2 + 512) // base64, or a few escapes
		if err := writeClaim(&b, c); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, b.Bytes())
	}
	h.Set("Content-Type", "application/json")
	// Nothing is sent before the first chunk has opened, so that a payload that
	// can't be opened is answered with an error.
	out := newAside(clientWriter{w})
	b := bufio.NewWriterSize(out, answerBuffer)
	err = writeClaim(b, c)
	if err == nil {
		err = b.Flush()
	}
	if cerr := out.close(); err == nil {
		err = cerr
	}
	return err
}

// taken is a claim that has counted, and what opens its payload.
type taken struct {
	*store.Claimed
	token token
	ring  *atrest.Keyring
}

// take claims, and sets the headers that say so.
func (rl *Relay) take(h http.Header, r *http.Request) (*taken, error) {
	t, err := pathToken(r)
	if err != nil {
		return nil, err
	}
	key, err := rl.idempotencyKey(r)
	if err != nil {
		return nil, err
	}
	ckey := rl.claimKey(key)
	c := &taken{token: t, ring: rl.cfg.Keyring.Current()}
	err = rl.guessingWrite(r, t, key, func() (err error) {
		c.Claimed, err = rl.cfg.Store.Claim(r.Context(), t.hash(), ckey, c.ring.IDs(), rl.now())
		if errors.Is(err, store.ErrMasterKey) && rl.cfg.Keyring.Reload(r.Context()) == nil {
			c.ring = rl.cfg.Keyring.Current() // another node may have had a new key first
			c.Claimed, err = rl.cfg.Store.Claim(r.Context(), t.hash(), ckey, c.ring.IDs(), rl.now())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.Notify != nil || c.Burned {
		rl.wakeSender()
	}
	h.Set(api.HeaderRemainingReads, api.Unlimited)
	if left := remaining(&c.Kubbi, c.Number); left != nil {
		h.Set(api.HeaderRemainingReads, strconv.Itoa(*left))
	}
	if ckey != nil {
		h.Set(api.HeaderClaimGrace, strconv.FormatInt(int64(rl.cfg.Grace/time.Second), 10))
	}
	return c, nil
}

// release answers DELETE /r/:token/claim, our own route: the client has the
// payload of the claim it made with that key, and the grace may end.
func (rl *Relay) release(w http.ResponseWriter, r *http.Request) error {
	t, err := pathToken(r)
	if err != nil {
		return err
	}
	key, err := rl.idempotencyKey(r)
	if err != nil {
		return err
	}
	if key == "" {
		return invalid(api.HeaderIdempotencyKey + " must be that of the claim whose grace is to end")
	}
	err = rl.guessingWrite(r, t, key, func() error {
		return rl.cfg.Store.Release(r.Context(), t.hash(), HashSecret(key), rl.now())
	})
	// A release that is repeated finds nothing to end, and is done.
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrOtherKey) {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// clientWriter keeps a client's going away apart from a fault of the relay.
type clientWriter struct{ w io.Writer }

func (c clientWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if err != nil {
		err = fail(api.CodeUnavailable, "the client went away")
	}
	return n, err
}

// writeClaim writes the body of a claim's answer: an api.ClaimResponse.
func writeClaim(w io.Writer, c *taken) error {
	resp := api.ClaimResponse{
		ContentType: c.ContentType, Metadata: c.Metadata, Burned: c.Burned,
		CreatedAt: api.NewTime(c.CreatedAt), ExpiresAt: api.NewTime(c.ExpiresAt),
	}
	hole := `"content":""`
	if c.Package {
		resp.Type, resp.FileCount, resp.Files = api.TypePackage, &c.FileCount, []api.ClaimedFile{}
		hole = `"files":[]`
	} else {
		resp.Content = []byte(`""`)
	}
	before, after, err := split(resp, hole)
	if err != nil {
		return err
	}
	p := payloadWriter{w: w, k: &c.Kubbi, part: -1}
	p.put(before)
	if err := p.copy(c.pieces()); err != nil {
		return err
	}
	p.put(after)
	return p.err
}

// split encodes v and gives what stands before and after the empty value of
// its member hole, which is where a payload is streamed. The members before it
// are words of ours and restricted names, and a quote within a string would be
// escaped, so the first match is the member.
func split(v any, hole string) (before, after []byte, err error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, nil, err
	}
	i := bytes.Index(b, []byte(hole))
	if i < 0 {
		return nil, nil, fmt.Errorf("answer has no member %s", hole)
	}
	return b[:i+len(hole)-2], b[i+len(hole):], nil
}
