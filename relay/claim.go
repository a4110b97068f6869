package relay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const (
	maxWholeAnswer = 64 << 10 // payload bytes up to which an answer is made whole before it is sent
	answerBuffer   = 32 << 10
)

// claim answers POST /r/:token/claim. The payload is opened, encoded and sent
// chunk by chunk, so that a large one never stands in memory whole.
func (rl *Relay) claim(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	c, err := rl.take(h, r)
	if err != nil {
		return err
	}
	defer c.close()
	if acceptsRaw(r) {
		return writeRaw(w, c)
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
	b := bufio.NewWriterSize(clientWriter{w}, answerBuffer)
	if err := writeClaim(b, c); err != nil {
		return err
	}
	return b.Flush()
}

// acceptsRaw says whether a claim is to be answered in api.TypeRaw.
func acceptsRaw(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			if t, params, err := mime.ParseMediaType(part); err == nil && t == api.TypeRaw && params["q"] != "0" {
				return true
			}
		}
	}
	return false
}

// writeRaw answers a claim in api.TypeRaw.
func writeRaw(w http.ResponseWriter, c *taken) error {
	head := api.RawClaim{
		ContentType: c.ContentType, Metadata: c.metadata, Burned: c.claimed.Burned,
		CreatedAt: api.NewTime(c.CreatedAt), ExpiresAt: api.NewTime(c.ExpiresAt),
	}
	if c.Package {
		head.Type = api.TypePackage
		for _, f := range c.files {
			head.Files = append(head.Files, api.RawFile{
				Name: f.name, ContentType: f.contentType, SizeBytes: f.size, Role: f.role, Encoding: f.encoding,
			})
		}
	} else {
		head.ContentBytes = &c.Size
	}
	b, err := api.AppendRawHead(nil, head)
	if err != nil {
		return err
	}
	out := clientWriter{w}
	begin := func() error { // once the first chunk has opened
		h := w.Header()
		h.Set("Content-Type", api.TypeRaw)
		h.Set("Content-Length", strconv.FormatInt(int64(len(b))+c.Size, 10))
		_, err := out.Write(b)
		b = nil
		return err
	}
	err = c.pieces(func(_ int, plain []byte) error {
		if len(plain) == 0 {
			return nil
		}
		if b != nil {
			if err := begin(); err != nil {
				return err
			}
		}
		_, err := out.Write(plain)
		return err
	})
	if err == nil && b != nil { // there is no payload but an empty one
		err = begin()
	}
	return err
}

// close gives up the payload.
func (c *taken) close() { _ = c.claimed.Payload.Close() }

// take claims, opens the record, and sets the headers that say so. The caller closes
// what it gives.
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
	ring := rl.cfg.Keyring.Current()
	var c *store.Claimed
	err = rl.guessingWrite(r, t, key, func() (err error) {
		c, err = rl.cfg.Store.Claim(r.Context(), t.key(), ckey, ring.IDs(), rl.now())
		if errors.Is(err, store.ErrMasterKey) && rl.cfg.Keyring.Reload(r.Context()) == nil {
			ring = rl.cfg.Keyring.Current() // another node may have had a new key first
			c, err = rl.cfg.Store.Claim(r.Context(), t.key(), ckey, ring.IDs(), rl.now())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.Notify != nil || c.Burned {
		rl.wakeSender()
	}
	o, err := openClaimed(ring, c, t)
	if err != nil {
		_ = c.Payload.Close()
		return nil, err
	}
	h.Set(api.HeaderRemainingReads, api.Unlimited)
	if left := remaining(o.Kubbi, c.Number); left != nil {
		h.Set(api.HeaderRemainingReads, strconv.Itoa(*left))
	}
	if ckey != nil {
		h.Set(api.HeaderClaimGrace, strconv.FormatInt(int64(rl.cfg.Grace/time.Second), 10))
	}
	return o, nil
}

// openClaimed opens what a claim has given.
func openClaimed(ring *atrest.Keyring, c *store.Claimed, t token) (*taken, error) {
	o, err := open(ring, &c.Kubbi)
	if err != nil {
		return nil, err
	}
	if o.wiped {
		return nil, damaged(&c.Kubbi, "a claim has given no record")
	}
	key, binding, err := payloadKey(ring, &c.Kubbi, t)
	if err != nil {
		return nil, err
	}
	plain, err := key.Open(binding, c.Payload)
	if err != nil {
		return nil, damaged(&c.Kubbi, "its size is none")
	}
	return &taken{o, c, plain}, nil
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
		return rl.cfg.Store.Release(r.Context(), t.key(), HashSecret(key), rl.now())
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
		ContentType: c.ContentType, Metadata: c.metadata, Burned: c.claimed.Burned,
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
	p := payloadWriter{w: w, c: c, part: -1}
	p.put(before)
	if err := p.copy(); err != nil {
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
