package kubbi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// openerOf gives the opener and the key for a claim; no key: the kubbi is not sealed. Before
// the claim counts, it refuses a sealed kubbi without its key, and a key for another kubbi.
// target is what Client.target gave. seen is the result of Inspect; nil: the caller has not
// inspected.
func (c *Client) openerOf(ctx context.Context, target request, seen *Inspected) (*opener, *sealKey, error) {
	o, err := c.openerFor(target.fragment)
	if err != nil {
		return nil, nil, err
	}
	if seen == nil {
		seen, _, err = c.inspect(ctx, target)
		switch {
		case errors.Is(err, ErrGone), errors.Is(err, ErrExpired):
			// There is nothing to spend, and a claim that repeats an earlier one
			// may still get its payload.
			return o, o.key, nil
		case err != nil:
			return nil, nil, err
		}
	}
	key, e := o.keyFor(seen.Metadata)
	if e != nil {
		e.Message += "; nothing was claimed"
		return nil, nil, e
	}
	return o, key, nil
}

// cantOpen is the error for a sealed payload that was claimed and does not open.
func cantOpen(err error) *Error {
	return spent(notOpened("what was claimed can't be opened: " + err.Error()))
}

// openStream opens a payload while it is received. The parts of the arrival become those
// inside the ciphertext, which can be read once each, in order. Its end then also checks
// that the ciphertext was whole.
func (k *sealKey) openStream(a *arrival) (*unsealed, error) {
	in, err := k.unseal(a.Claimed)
	if err != nil {
		return nil, err
	}
	in.describe(a.Claimed)
	a.Parts = in.Parts
	received := a.end
	a.end = func() error {
		if in.end() != nil {
			return in.fault()
		}
		return received()
	}
	return in, nil
}

// openStored opens a payload in memory or in a file. It decrypts everything once to check
// it, and a part again each time that part is read. So no plaintext stays in memory or goes
// to a file.
func (k *sealKey) openStored(out *Claimed) error {
	in, err := k.unseal(out)
	if err != nil {
		return err
	}
	if in.end() != nil {
		return in.fault()
	}
	in.describe(out)
	out.Parts = in.Parts
	at := in.opening.s.size - in.size
	for i := range out.Parts {
		start, size := at, out.Parts[i].Size
		out.Parts[i].open = func() (io.Reader, error) {
			r, err := in.opening.s.openingAt(start, in.sealed)
			return io.LimitReader(r, size), err
		}
		at += size
	}
	return nil
}

// unsealed is the raw body inside a ciphertext. Its head has been read.
type unsealed struct {
	*arrival
	sealed  Part
	opening *openingReader // of sealed
}

// unseal reads the head inside the ciphertext of a payload. The metadata in the head must
// equal those that the service gave.
func (k *sealKey) unseal(out *Claimed) (*unsealed, error) {
	if out.Files == nil || len(out.Parts) != 1 {
		return nil, cantOpen(errSealForm)
	}
	in := &unsealed{sealed: out.Parts[0]}
	r, err := in.sealed.open()
	if err != nil {
		return nil, err
	}
	if in.opening, err = k.opening(r, in.sealed.Size); err != nil {
		return nil, cantOpen(err)
	}
	if in.arrival, err = readRaw(in.opening, in.opening.s.size); err != nil || !in.valid() {
		return nil, in.fault()
	}
	if !sameJSON(jsontext.Value(in.Metadata), jsontext.Value(out.Metadata)) {
		return nil, cantOpen(errors.New("its metadata was changed"))
	}
	return in, nil
}

// sameJSON reports whether two JSON values are equal, even if they are written differently:
// a service may change the form of numbers.
func sameJSON(a, b jsontext.Value) bool {
	a, b = bytes.Clone(a), bytes.Clone(b)
	return a.Canonicalize() == nil && b.Canonicalize() == nil && bytes.Equal(a, b)
}

// fault is the error after reading failed: because of the ciphertext, or of the form of the
// plaintext.
func (in *unsealed) fault() error {
	if damage := in.damage(); damage != nil {
		return damage
	}
	return cantOpen(errSealForm)
}

// valid reports whether a client of this format may have made the head.
func (in *unsealed) valid() bool {
	if in.Files == nil {
		return slices.Contains(api.ContentTypes, in.ContentType)
	}
	names := map[string]bool{}
	for _, f := range in.Files {
		role := ""
		if f.Role != nil {
			role = *f.Role
		}
		if fileFault(api.RawFile{Name: f.Name, ContentType: f.ContentType, Role: role, Encoding: f.Encoding}, names) != "" {
			return false
		}
	}
	return len(in.Files) > 0
}

// describe replaces the description that everybody can read by the one in the head.
func (in *unsealed) describe(out *Claimed) {
	out.Type, out.ContentType, out.FileCount, out.Metadata = "", in.ContentType, in.FileCount, in.Metadata
	if out.Content, out.Files = nil, in.Files; in.Files != nil {
		out.Type = api.TypePackage
	}
}

// damage is the error for a sealed payload that was changed; nil: no change was found so
// far, or the payload is not sealed.
func (in *unsealed) damage() error {
	if in == nil || in.opening.err == nil || in.opening.err == io.EOF {
		return nil
	}
	return cantOpen(in.opening.err)
}
