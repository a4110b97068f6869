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
	errSpool      = errors.New("the answer can't be kept")
)

// readBody reads the whole body, into a buffer of the right size where the
// length is known.
func readBody(resp *http.Response, limit int64, w *watch) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, limit)
	}
	body := watchedReader{resp.Body, w}
	if n := resp.ContentLength; n >= 0 {
		b := make([]byte, n)
		if _, err := io.ReadFull(body, b); err != nil {
			return nil, fmt.Errorf("%w: %w", errCutShort, quiet(err))
		}
		_, _ = body.Read(make([]byte, 1)) // the end itself, so that the connection can be used again
		return b, nil
	}
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errCutShort, quiet(err))
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, limit)
	}
	return b, nil
}

type watchedReader struct {
	r io.Reader
	w *watch
}

func (r watchedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.w.moved(n)
	return n, err
}

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
	e.theirs = c.inProcess == "" || r.origin != c.inProcess
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
	case errors.Is(err, errSpool):
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
