package kubbi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"

	"kubbi-mcp/kubbi/api"
)

// arrival is a payload that is being received. If it is raw, its parts are not read yet,
// and can be read once each. If it is JSON, it is already in memory. A sealed payload is
// not opened yet.
type arrival struct {
	*Claimed
	size int64        // of the raw parts or of the JSON, in bytes
	end  func() error // is called after the parts; skips their rest and checks that the answer ends
}

// do makes the claim. It calls receive for each attempt that is answered with a payload.
func (k *claim) do(ctx context.Context, receive func(*arrival) error) error {
	read := func(resp *http.Response, body io.Reader) error {
		a, err := k.read(resp, body)
		if err != nil {
			return err
		}
		a.client = k.client
		a.Remaining, a.RemainingKnown = remaining(resp.Header.Get(api.HeaderRemainingReads), a.Burned)
		a.Grace, a.release = k.grace(resp.Header)
		if !a.wholeAnswer {
			if e := k.checkKey(a.Metadata); e != nil {
				return spent(e)
			}
		}
		return receive(a)
	}
	k.request.receive = func(resp *http.Response, body *answerBody) error {
		return body.use(func(r io.Reader) error { return read(resp, r) })
	}
	_, err := k.client.call(ctx, k.request)
	return err
}

// checkKey finds the key of what was claimed, which may differ from what was inspected.
func (k *claim) checkKey(metadata []byte) *Error {
	key, e := k.opener.keyFor(metadata)
	switch {
	case e != nil:
		return e
	case k.key != nil && (key == nil || *key != *k.key):
		return notOpened("what was claimed is not what was inspected before: its service has put something else in its place")
	}
	k.key = key
	return nil
}

// read reads the head of a raw answer, or the whole of an answer in JSON.
func (k *claim) read(resp *http.Response, body io.Reader) (*arrival, error) {
	if isRaw(resp.Header.Get("Content-Type")) {
		const small = 32 << 10 // bytes; an answer of this size is read whole
		if n := resp.ContentLength; n >= 0 && n <= small {
			b, err := readAll(body, n, k.request.limit)
			if err != nil {
				return nil, err
			}
			body = bytes.NewReader(b)
		}
		return readRaw(body, k.request.limit)
	}
	const maxDecoded = 8 << 20 // bytes; with Within and ToFile, a larger answer is kept as it is
	limit := min(k.request.limit, k.client.memoryLimit)
	if k.config.within != nil && k.config.file != nil {
		limit = max(k.memory, maxDecoded)
	}
	b, err := readAll(io.LimitReader(body, limit+1), min(resp.ContentLength, limit), limit+1)
	switch {
	case err != nil:
		return nil, err
	case int64(len(b)) <= limit:
		return readJSON(b)
	case k.config.within != nil && k.config.file != nil:
		return k.wholeAnswer(io.MultiReader(bytes.NewReader(b), body))
	}
	return nil, tooLarge(limit)
}

// readJSON reads an answer in JSON.
func readJSON(b []byte) (*arrival, error) {
	answer := new(api.ClaimResponse)
	if err := decode(b, answer); err != nil {
		return nil, err
	}
	if answer.Content == nil && answer.Files == nil {
		return nil, uncertainly(incomplete("content and files"))
	}
	cutClaim(answer)
	return &arrival{
		Claimed: &Claimed{ClaimResponse: *answer, Parts: partsOf(answer)},
		size:    int64(len(b)),
		end:     func() error { return nil },
	}, nil
}

// wholeAnswer makes the whole answer in JSON the only part of the payload.
func (k *claim) wholeAnswer(body io.Reader) (*arrival, error) {
	answer := Part{Name: AnswerName, ContentType: api.TypeJSON, Size: 1 << 20, open: func() (io.Reader, error) { return body, nil }}
	out := &Claimed{Parts: []Part{answer}, wholeAnswer: true}
	if k.key != nil { // the seal in the answer is not read, so take the expected one
		metadata, err := k.key.addSeal(nil, false)
		if err != nil {
			return nil, err
		}
		out.Metadata = json.RawMessage(metadata)
	}
	return &arrival{Claimed: out, size: math.MaxInt64, end: func() error { return nil }}, nil
}

// place stores a payload in memory or in the file, and opens it if it is sealed.
func (k *claim) place(a *arrival) (*Claimed, error) {
	out, sealed, toFile := a.Claimed, k.key != nil && !a.wholeAnswer, a.size > k.memory
	if err := k.fetch(out, sealed, toFile); err != nil {
		return nil, err
	}
	if err := a.end(); err != nil || !sealed {
		return out, err
	}
	if toFile {
		received := *out
		received.Parts = slices.Clone(out.Parts)
		out.received = &received
	}
	if err := k.key.openStored(out); err != nil {
		return nil, err
	}
	if !toFile && out.Load() != nil {
		return nil, cantOpen(errSealForm)
	}
	return out, nil
}

// fetch reads the parts of a payload into memory or into the file, without opening them.
func (k *claim) fetch(out *Claimed, sealed, toFile bool) error {
	switch {
	case toFile && k.config.file == nil:
		return tooLarge(k.memory)
	case toFile:
		file, err := k.config.file()
		if err != nil {
			return errors.Join(errNotKept, err)
		}
		return out.writeTo(file)
	case !sealed:
		return out.Load()
	case len(out.Parts) == 1:
		_, err := out.Parts[0].hold()
		if errors.Is(err, errNotJSON) {
			return cantOpen(errSealForm)
		}
		return err
	}
	return cantOpen(errSealForm)
}
