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

// Faults of an answer's body.
var (
	errTooLarge   = errors.New("the answer is larger than the limit")
	errCutShort   = errors.New("the answer was cut short")
	errEmpty      = errors.New("the answer is empty")
	errNotJSON    = errors.New("the answer is not JSON of the kind this API gives")
	errCompressed = errors.New("the answer is compressed, which the request did not allow")
	errNotKept    = errors.New("the answer can't be kept")
)

// answerBody is the body of an answer. It ends one byte after its limit. It keeps the
// errors of the network apart from those of its reader. When its context ends, it gives no
// more bytes, although the system may have received some.
type answerBody struct {
	r      io.Reader
	stall  *stallTimer
	limit  int64
	length int64    // that the server announced; -1: unknown
	report Progress // may be nil

	n   int64
	err error // of the network, or of the context
}

func newAnswerBody(resp *http.Response, limit int64, stall *stallTimer, report Progress) *answerBody {
	b := &answerBody{r: resp.Body, stall: stall, limit: limit, length: resp.ContentLength, report: report}
	if report != nil {
		report(0, max(0, b.length))
	}
	return b
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	left := b.limit + 1 - b.n
	if left <= 0 {
		return 0, io.EOF
	}
	if b.err = b.stall.ctx.Err(); b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p[:min(int64(len(p)), left)])
	b.n += int64(n)
	b.stall.moved(n)
	if b.report != nil && (n > 0 || err == io.EOF && b.length <= 0) {
		total := max(0, b.length)
		if err == io.EOF && total == 0 {
			total = b.n // known now
		}
		b.report(b.n, total)
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// use calls f, which reads the body to its end.
func (b *answerBody) use(f func(io.Reader) error) error {
	if b.length > b.limit {
		return tooLarge(b.limit)
	}
	err := f(b)
	switch {
	case b.err != nil:
		return fmt.Errorf("%w: %w", errCutShort, quiet(b.err))
	case b.n > b.limit:
		return tooLarge(b.limit)
	case errors.Is(err, io.ErrUnexpectedEOF), err == nil && b.length > b.n:
		return errCutShort
	}
	return err
}

// readAll reads the whole body.
func (b *answerBody) readAll() (all []byte, err error) {
	err = b.use(func(r io.Reader) (err error) {
		all, err = readAll(r, b.length, b.limit)
		return err
	})
	return all, err
}

func tooLarge(limit int64) error { return fmt.Errorf("%w of %d bytes", errTooLarge, limit) }

// readAll reads r to its end. More than limit bytes are an error. size is how many bytes
// are expected; -1: unknown.
func readAll(r io.Reader, size, limit int64) ([]byte, error) {
	b := make([]byte, 0, min(max(size, 511)+1, maxPrealloc))
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

// maxPrealloc is how many bytes of memory are allocated because a server announced them.
const maxPrealloc = 16 << 20

// maxRawCopy is the size in bytes of the largest raw JSON value that is copied out of an
// answer. A larger value is a slice of the answer.
const maxRawCopy = 4 << 10

// decode decodes an answer in JSON. Its errors are errEmpty, errCutShort and errNotJSON;
// they do not quote the body. Duplicate names are allowed: a payload may have them, and a
// claim that has counted must not fail.
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
			*v = nil // null metadata counts as absent; null content is a value
		case len(val) <= maxRawCopy:
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
func (c *Client) readError(resp *http.Response, r request, stall *stallTimer) *Error {
	var envelope api.ErrorBody
	b, err := newAnswerBody(resp, errorAnswerLimit, stall, nil).readAll()
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

// badAnswer is the error for an answer whose body can't be used. If the body was cut short,
// it is a network error, which is worth another attempt.
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
