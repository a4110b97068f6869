package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// Claim counts a retrieval and gives the payload: see store.Store. It reads the payload, or
// opens its file, in the transaction that counts, since the payload may be wiped later.
func (s *Store) Claim(ctx context.Context, token store.Token, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	c := &claim{files: s.files, ClaimRequest: store.NewClaimRequest(token, key, opens, now)}
	c.do = c.claim
	c.drop = c.close
	if err := s.change(ctx, &c.op); err != nil {
		return nil, err
	}
	return c.row.Claimed(c.replay, store.NewPayload(ctx, c.sealed, c.file)), nil
}

// claim is the op of Claim.
type claim struct {
	op
	store.ClaimRequest
	files  *body.Files
	row    row // for the answer
	replay bool
	sealed []byte        // the payload
	file   io.ReadCloser // or its file; nil: it is in sealed
}

func (c *claim) close() {
	if c.file != nil {
		c.file.Close()
		c.file = nil
	}
}

// claim runs in the writer's transaction.
func (c *claim) claim(t *tx) error {
	c.close()
	r := &c.row
	if err := r.byToken(t.conn, c.Token); err != nil {
		return err
	}
	if err := t.loadGraces(r, c.KeyHash()); err != nil {
		return err
	}
	var err error
	if c.replay, err = r.Claim(&c.ClaimRequest); err != nil {
		return err
	}
	// This comes before the first write: a claim without a payload does not count.
	if err := c.read(t); err != nil || c.replay {
		return err
	}
	after := *r // the answer keeps Secret and Record
	// The claim counts once the writer has committed this.
	_, err = t.write(&after, c.Now, false)
	return err
}

// read reads the secret and the payload.
func (c *claim) read(t *tx) error {
	r := &c.row
	if err := t.loadSecret(r); err != nil {
		return err
	}
	if r.body >= 0 {
		file, err := c.files.Open(int64(r.Number), r.body)
		switch {
		case errors.Is(err, body.ErrShort):
			return fmt.Errorf("%w: the payload's file of kubbi %s is missing or not whole", store.ErrDamaged, r.ID)
		case err == nil:
			c.file = file
		}
		return err
	}
	c.sealed = nil
	if err := t.rows("SELECT sealed FROM payload WHERE number = ?", func(s *stmt) { c.sealed = s.bytes(0) }, r.Number); err != nil {
		return err
	}
	if c.sealed == nil {
		return fmt.Errorf("%w: the payload of kubbi %s is missing", store.ErrDamaged, r.ID)
	}
	return nil
}

// Release ends a claim's grace: see store.Store.
func (s *Store) Release(ctx context.Context, token store.Token, key store.Hash, now time.Time) error {
	at := store.MillisOf(now)
	return s.change(ctx, &op{do: func(t *tx) error {
		var r row
		if err := r.byToken(t.conn, token); err != nil {
			return err
		}
		if err := t.loadGraces(&r, key); err != nil {
			return err
		}
		changed, err := r.Release(key, at)
		if err == nil && changed {
			_, err = t.write(&r, at, false)
		}
		return err
	}})
}

// Delete ends a kubbi: see store.Store.
func (s *Store) Delete(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	at := store.MillisOf(now)
	d := &struct {
		op
		row row
	}{}
	d.erases = true
	d.do = func(t *tx) error {
		r := &d.row
		if err := r.byID(t.conn, owner, id); err != nil {
			return err
		}
		if err := r.Delete(at); err != nil {
			return err
		}
		_, err := t.write(r, at, false)
		return err
	}
	if err := s.change(ctx, &d.op); err != nil {
		return nil, err
	}
	return new(d.row.Kubbi()), nil
}
