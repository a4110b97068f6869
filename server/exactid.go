package server

import (
	"bytes"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// exactIDs has mcp-go keep the ids of requests as they came. It reads numbers as
// float64, so that 9007199254740993 would come back as another number, and 1e400
// not at all. In place of such an id it gets a text that holds the number, and
// what it writes is put right again.
type exactIDs struct{ prefix string }

// newExactIDs makes a prefix that no client can know.
func newExactIDs() exactIDs { return exactIDs{prefix: `"` + uuid.NewString() + ":"} }

// forMCPGo gives an id that mcp-go writes as it reads it.
func (e exactIDs) forMCPGo(id jsontext.Value) jsontext.Value {
	if id.Kind() != '0' || plainInteger(id) {
		return id
	}
	return jsontext.Value(e.prefix + string(id) + `"`)
}

// plainInteger reports whether an id is an integer of at most 15 digits, written
// in the one usual way.
func plainInteger(id jsontext.Value) bool {
	digits := bytes.TrimPrefix(id, []byte("-"))
	if len(digits) > 15 || string(id) == "-0" {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// idPlace is in how many of the first bytes of a message its id stands.
const idPlace = maxID + 256

// restore puts the ids back into a message.
func (e exactIDs) restore(b []byte) []byte {
	head := b[:min(len(b), idPlace+len(e.prefix))]
	if !bytes.Contains(head, []byte(e.prefix)) {
		return b
	}
	out := make([]byte, 0, len(b))
	for {
		at := bytes.Index(b[:min(len(b), idPlace+len(e.prefix))], []byte(e.prefix))
		if at < 0 {
			return append(out, b...)
		}
		out = append(out, b[:at]...)
		number, rest, _ := bytes.Cut(b[at+len(e.prefix):], []byte(`"`))
		out, b = append(out, number...), rest
	}
}

// writer puts ids back in all that is written to w, one message a Write.
func (e exactIDs) writer(w http.ResponseWriter) http.ResponseWriter {
	return exactIDWriter{ResponseWriter: w, ids: e}
}

type exactIDWriter struct {
	http.ResponseWriter
	ids exactIDs
}

// Unwrap is for http.ResponseController.
func (w exactIDWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter.
func (w exactIDWriter) Write(b []byte) (int, error) {
	restored := w.ids.restore(b)
	n, err := w.ResponseWriter.Write(restored)
	if err == nil && n == len(restored) {
		return len(b), nil
	}
	return min(n, len(b)), err
}
