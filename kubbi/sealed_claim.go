package kubbi

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// sealedKey finds the key of what is about to be claimed, and refuses while it
// costs nothing: a sealed kubbi without its key, and a key that is not for what
// is there. seen is what the caller knows from an inspect; nil: nothing.
func (c *Client) sealedKey(ctx context.Context, urlOrToken string, seen *Inspected) (*sealKey, error) {
	u, err := ParseClaimURL(urlOrToken)
	if err != nil {
		return nil, err
	}
	key, err := sealKeyOf(u.Fragment())
	if err != nil {
		return nil, err
	}
	if seen == nil {
		seen, err = c.Inspect(ctx, urlOrToken)
		switch {
		case errors.Is(err, ErrGone), errors.Is(err, ErrExpired):
			// There is nothing to spend, and a claim under a key of before may
			// still get its payload again.
			return key, nil
		case err != nil:
			return nil, err
		}
	}
	if e := checkSeal(key, seen.Metadata); e != nil {
		e.Message += "; nothing was claimed"
		return nil, e
	}
	return key, nil
}

// openClaim opens a claimed payload in place, all of it or nothing. It checks the
// seal again: what was inspected need not be what was claimed.
func openClaim(key *sealKey, r *api.ClaimResponse) error {
	if e := checkSeal(key, r.Metadata); e != nil {
		return spent(e)
	}
	if key == nil {
		return nil
	}
	if err := key.openAnswer(r); err != nil {
		return cantOpen(err)
	}
	return nil
}

// cantOpen is the error of a claim that has counted.
func cantOpen(err error) *Error {
	return spent(notOpened("what was claimed can't be opened: " + err.Error()))
}

// openAnswer opens an answer that stands in memory.
func (k *sealKey) openAnswer(r *api.ClaimResponse) error {
	if len(r.Files) != 1 || r.Files[0].Encoding != api.EncodingBase64 {
		return errSealForm
	}
	sealed, err := base64.StdEncoding.Strict().DecodeString(r.Files[0].Content)
	if err != nil {
		return errSealForm
	}
	in, err := k.inside(bytes.NewReader(sealed), int64(len(sealed)), r.Metadata)
	if err != nil {
		return err
	}
	whole, err := in.inMemory()
	if err != nil {
		return in.fault()
	}
	in.describe(r)
	r.Content, r.Files = whole.Content, whole.Files
	return nil
}

// openComing opens a payload while it is received. Its parts are then those inside,
// to be read once each, in their order; end says whether all was whole.
func (k *sealKey) openComing(out *Spooled, end func() error) (*insideSealed, func() error, error) {
	in, _, err := k.insideOf(out)
	if err != nil {
		return nil, nil, err
	}
	inside := in.rawPayload.spooled()
	in.describe(&out.ClaimResponse)
	out.Files, out.Parts = inside.Files, inside.Parts
	return in, func() error {
		if err := in.end(); err != nil {
			return cantOpen(in.fault())
		}
		return end()
	}, nil
}

// openKept opens a payload that can be read as often as is wanted. All is read once,
// so that it is known to be whole, and a part again each time: nothing of what was
// sealed stands in memory, or in a spool as it is.
func (k *sealKey) openKept(out *Spooled) error {
	in, sealed, err := k.insideOf(out)
	if err != nil {
		return err
	}
	if err := in.end(); err != nil {
		return cantOpen(in.fault())
	}
	in.describe(&out.ClaimResponse)
	out.Files, out.Parts = in.Files, in.parts
	at := in.opening.s.size - in.size
	for i := range out.Parts {
		start, size := at, out.Parts[i].Size
		out.Parts[i].open = func() (io.Reader, error) {
			r, err := in.opening.s.openingAt(start, sealed)
			return io.LimitReader(r, size), err
		}
		at += size
	}
	return nil
}

// insideOf reads the head of a payload that is sealed. It gives the part with the
// ciphertext, too.
func (k *sealKey) insideOf(out *Spooled) (*insideSealed, Part, error) {
	if out.Files == nil || len(out.Parts) != 1 {
		return nil, Part{}, cantOpen(errSealForm)
	}
	sealed := out.Parts[0]
	r, err := sealed.open()
	if err != nil {
		return nil, Part{}, err
	}
	in, err := k.inside(r, sealed.Size, out.Metadata)
	if err != nil {
		return nil, Part{}, cantOpen(err)
	}
	return in, sealed, nil
}

// insideSealed is the raw body in a ciphertext, whose head has been read.
type insideSealed struct {
	*rawPayload
	opening *openingReader
}

// inside reads the head of what is sealed. metadata is what the service says it is.
func (k *sealKey) inside(sealed io.Reader, size int64, metadata []byte) (*insideSealed, error) {
	opening, err := k.opening(sealed, size)
	if err != nil {
		return nil, err
	}
	in := &insideSealed{opening: opening}
	if in.rawPayload, err = readRaw(opening, opening.s.size); err != nil || !in.valid() {
		return nil, in.fault()
	}
	if !sameJSON(jsontext.Value(in.Metadata), metadata) {
		return nil, errSealMetadata
	}
	return in, nil
}

// errSealMetadata is of metadata that is not the sender's.
var errSealMetadata = errors.New("its metadata was changed")

// sameJSON reports whether two JSON values are one, however they are written. The
// service may have written the numbers in another way.
func sameJSON(a, b jsontext.Value) bool {
	a, b = bytes.Clone(a), bytes.Clone(b)
	return a.Canonicalize() == nil && b.Canonicalize() == nil && bytes.Equal(a, b)
}

// fault says why reading went wrong: because of the ciphertext, or of its form.
func (in *insideSealed) fault() error {
	if err := in.opening.err; err != nil && err != io.EOF {
		return err
	}
	return errSealForm
}

// valid reports whether the head is one that a client like ours makes.
func (in *insideSealed) valid() bool {
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

// describe sets what the head says in place of what others see.
func (in *insideSealed) describe(r *api.ClaimResponse) {
	r.Type, r.ContentType, r.FileCount, r.Metadata = "", in.ContentType, in.FileCount, in.Metadata
	if in.Files != nil {
		r.Type = api.TypePackage
	}
}

// damage is the error of a payload under way that was changed; nil: so far it was
// not, or it is not sealed.
func (in *insideSealed) damage() error {
	if in == nil || in.opening.err == nil || in.opening.err == io.EOF {
		return nil
	}
	return cantOpen(in.opening.err)
}
