package kubbi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
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
	e := checkSeal(key, seen.Metadata)
	if size := sizeOf(seen); e == nil && key != nil && size > c.answerLimit {
		e = notOpened(fmt.Sprintf("the kubbi is sealed and has %d bytes, and at most %d can be opened here", size, c.answerLimit))
	}
	if e != nil {
		e.Message += "; nothing was claimed"
		return nil, e
	}
	return key, nil
}

// sizeOf is how many bytes a kubbi has, 0 where that is not known.
func sizeOf(seen *Inspected) int64 {
	if seen.TotalSizeBytes != nil {
		return *seen.TotalSizeBytes
	}
	return seen.PayloadSize
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
	var err error
	if r.Type == api.TypePackage || r.Content == nil {
		err = openFiles(key, r)
	} else {
		err = openSingle(key, r)
	}
	if err != nil {
		return cantOpen(err)
	}
	return nil
}

// cantOpen is the error of a claim that has counted.
func cantOpen(err error) *Error {
	return spent(notOpened("what was claimed can't be opened: " + err.Error()))
}

func openSingle(key *sealKey, r *api.ClaimResponse) error {
	var jwe string
	if jsontext.Value(r.Content).Kind() != '"' || jsonv2.Unmarshal(r.Content, &jwe) != nil {
		return errSealForm
	}
	s, err := key.open(jwe)
	if err != nil {
		return err
	}
	if err := checkContent(s); err != nil {
		return err
	}
	r.Content, r.ContentType = s.data, s.contentType
	if s.contentType != api.TypeJSON {
		r.Content, err = jsontext.AppendQuote(nil, s.data)
	}
	return err
}

// checkContent refuses all but a single content: a text, or one JSON value.
func checkContent(s *sealed) error {
	switch {
	case s.part != sealedPart{V: sealVersion, Is: isContent}, !slices.Contains(api.ContentTypes, s.contentType):
		return errSealForm
	case s.contentType == api.TypeJSON && !jsontext.Value(s.data).IsValid(jsontext.AllowDuplicateNames(true)),
		s.contentType != api.TypeJSON && !utf8.Valid(s.data):
		return errSealForm
	}
	return nil
}

func openFiles(key *sealKey, r *api.ClaimResponse) error {
	if len(r.Files) == 0 {
		return errSealPlace
	}
	files := make([]api.ClaimedFile, len(r.Files))
	names := map[string]bool{}
	for _, f := range r.Files {
		if f.Encoding != "" {
			return errSealForm
		}
		s, err := key.open(f.Content)
		if err != nil {
			return err
		}
		l, err := key.fileLabel(s, f.Name, len(files), names)
		if err != nil {
			return err
		}
		out := api.ClaimedFile{Name: l.Name, ContentType: s.contentType, SizeBytes: int64(len(s.data))}
		if files[s.part.File-1].Name != "" {
			return errSealPlace
		}
		if l.Role != "" {
			out.Role = &l.Role
		}
		if l.Encoding != "" || !utf8.Valid(s.data) {
			out.Content, out.Encoding = base64.StdEncoding.EncodeToString(s.data), api.EncodingBase64
		} else {
			out.Content = string(s.data)
		}
		files[s.part.File-1] = out
	}
	r.Files = files
	return nil
}

// fileLabel opens the label of one of count files. The file's name outside says
// which one it is, and must be true.
func (k *sealKey) fileLabel(s *sealed, name string, count int, names map[string]bool) (l sealedLabel, err error) {
	p := s.part
	if p.Is != isFile || p.Files != count || p.File < 1 || p.File > count || name != sealedName(p.File) {
		return l, errSealPlace
	}
	if l, err = k.label(s); err != nil {
		return l, err
	}
	// A sender with a client like ours has checked these.
	if fault := labelFault(l, s.contentType, names); fault != "" {
		return l, errSealForm
	}
	return l, nil
}

// errSealPlace is of a package whose files are not all there in their places.
var errSealPlace = errors.New("its files were swapped, or some are missing")
