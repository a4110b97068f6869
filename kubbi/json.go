package kubbi

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// checkJSON reads one JSON value to its end, and holds no more of it than a
// token, which a long string is. An object in it may name a member twice, which is not its reader's
// business.
func checkJSON(r io.Reader) error {
	dec := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true))
	for {
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errNotJSON
	}
	return nil
}

// NotJSON says why r is not one JSON value in UTF-8, as a content of type
// application/json must be, in words that follow "it"; "" if it is one. It reads r
// to its end or to the fault, and quotes nothing of it. The error is one of
// reading.
func NotJSON(r io.Reader) (why string, err error) {
	const mark = "\ufeff"
	source := &faultReader{r: r}
	first := make([]byte, len(mark))
	n, _ := io.ReadFull(source, first)
	if source.fault == nil {
		err = checkJSON(io.MultiReader(bytes.NewReader(first[:n]), source))
	}
	switch {
	case source.fault != nil:
		return "", source.fault
	case err == nil:
		return "", nil
	case string(first) == mark:
		return "begins with a byte order mark", nil
	case n == 0 || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return "is empty", nil
	case errors.Is(err, errNotJSON):
		return "holds more than one JSON value", nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "ends in the middle of a JSON value", nil
	}
	return "is not strict JSON, which has no comments, no NaN and no comma before an end", nil
}

// faultReader keeps the error of its reader.
type faultReader struct {
	r     io.Reader
	fault error
}

func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.fault = err
	}
	return n, err
}
