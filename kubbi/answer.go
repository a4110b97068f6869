package kubbi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// What may be wrong with an answer's body.
var (
	errTooLarge   = errors.New("the answer is larger than the limit")
	errCutShort   = errors.New("the answer was cut short")
	errEmpty      = errors.New("the answer is empty")
	errNotJSON    = errors.New("the answer is not JSON of the kind this API gives")
	errCompressed = errors.New("the answer is compressed, though none was asked for that is")
	errNotKept    = errors.New("the answer can't be kept")
)

// receive has f read an answer of at most limit bytes, to its end.
func receive(resp *http.Response, limit int64, w *watch, f func(io.Reader) error) error {
	if resp.ContentLength > limit {
		return tooLarge(limit)
	}
	body := &receiving{r: resp.Body, w: w, limit: limit}
	err := f(body)
	switch {
	case body.err != nil:
		return fmt.Errorf("%w: %w", errCutShort, quiet(body.err))
	case body.n > limit:
		return tooLarge(limit)
	case errors.Is(err, io.ErrUnexpectedEOF), err == nil && resp.ContentLength > body.n:
		return errCutShort
	}
	return err
}

func tooLarge(limit int64) error { return fmt.Errorf("%w of %d bytes", errTooLarge, limit) }

// receiving is an answer's body. It keeps the network's errors apart from those of a
// reader's own, and ends one byte after the limit. It ends with the context too: what
// the system has received already would come all the same.
type receiving struct {
	r     io.Reader
	w     *watch
	n     int64
	limit int64
	err   error
}

// Read implements io.Reader.
func (r *receiving) Read(p []byte) (int, error) {
	left := r.limit + 1 - r.n
	if left <= 0 {
		return 0, io.EOF
	}
	if r.err = r.w.ctx.Err(); r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p[:min(int64(len(p)), left)])
	r.n += int64(n)
	r.w.moved(n)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// readBody reads the whole body.
func readBody(resp *http.Response, limit int64, w *watch) (b []byte, err error) {
	err = receive(resp, limit, w, func(r io.Reader) (err error) {
		b, err = readAll(r, resp.ContentLength, limit)
		return err
	})
	return b, err
}

// readAll reads at most limit bytes to their end. size is how many there are said to
// be; -1: that is not known.
func readAll(r io.Reader, size, limit int64) ([]byte, error) {
	b := make([]byte, 0, min(max(size, 511)+1, trusted))
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return nil, tooLarge(limit)
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, err
		case len(b) == cap(b):
			more := min(max(size+1, 2*int64(cap(b))), 4*int64(cap(b)), limit+1)
			b = append(make([]byte, 0, more), b...)
		}
	}
}

// trusted is how much memory is taken because somebody says that bytes will come.
const trusted = 16 << 20

// rawCopy is up to which size a raw JSON value is copied out of an answer; a
// larger one is a part of it.
const rawCopy = 4 << 10

// decode reads an answer. Its errors are errEmpty, errCutShort and errNotJSON,
// and say nothing of the body. An object in a payload may name a member twice: a claim
// that has been counted must not fail on it.
func decode(body []byte, v any) error {
	if len(body) == 0 {
		return errEmpty
	}
	raw := jsonv2.UnmarshalFromFunc(func(dec *jsontext.Decoder, v *json.RawMessage) error {
		val, err := dec.ReadValue()
		switch {
		case err != nil:
			return err
		case val.Kind() == 'n' && dec.StackPointer().LastToken() == "metadata":
			*v = nil // as absent as it can be; a content of null is a value
		case len(val) <= rawCopy:
			*v = append(json.RawMessage(nil), val...)
		default:
			end := dec.InputOffset()
			*v = json.RawMessage(body[end-int64(len(val)) : end : end])
		}
		return nil
	})
	err := jsonv2.Unmarshal(body, v, jsontext.AllowDuplicateNames(true), jsonv2.WithUnmarshalers(raw))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCutShort
	default:
		return errNotJSON
	}
}

// readError turns an answer that is not a success into an error.
func (c *Client) readError(resp *http.Response, r request, w *watch) *Error {
	var envelope api.ErrorBody
	b, err := readBody(resp, errorAnswerLimit, w)
	if err == nil {
		err = decode(b, &envelope)
	}
	code := cleanCode(envelope.Error)
	if err == nil && code == "" {
		err = errNotJSON
	}
	e := &Error{Status: resp.StatusCode, Code: code}
	if err != nil {
		e = badAnswer(resp.StatusCode, err)
	}
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if err != nil {
		return e
	}
	secrets := c.secrets(r)
	e.theirs = r.origin != c.inProcess
	e.Message = clean(envelope.Message, secrets)
	if e.Message == "" {
		e.Message, e.silent = strings.ToLower(http.StatusText(e.Status)), true
	}
	for _, m := range envelope.Messages[:min(len(envelope.Messages), maxMessages)] {
		e.Messages = append(e.Messages, clean(m, secrets))
	}
	return e
}

// badAnswer is an answer whose body can't be used. One that was cut short is a
// failure of the network, and worth another attempt.
func badAnswer(status int, err error) *Error {
	e := &Error{Status: status, Message: err.Error(), cause: err}
	switch {
	case errors.Is(err, errNotKept):
		e.permanent = true
	case errors.Is(err, errCutShort):
		e.Message, e.kind = errCutShort.Error(), ErrNetwork
	}
	return e
}

// retryAfter reads a Retry-After header: seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
