package content

import (
	"bytes"
	"io"
)

// JSONFault reads r to its end or to the first fault, and says why r is not one JSON value
// in UTF-8. The text begins with a verb, as in "the file " + fault, and does not quote r. It
// is "" if r is one JSON value. err is an error of the reader.
func JSONFault(r io.Reader) (fault string, err error) {
	const mark = "\ufeff"
	start := make([]byte, len(mark))
	n, err := io.ReadFull(r, start)
	switch {
	case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
		return "", err
	case string(start[:n]) == mark:
		return "begins with a byte order mark", nil
	}
	r = io.MultiReader(bytes.NewReader(start[:n]), r)
	var c JSON
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		switch bad := c.Write(buf[:n]) != ""; {
		case bad && c.state == wantMore && len(c.open) == 0:
			return "holds more than one JSON value", nil
		case bad:
			return notStrict, nil
		case err != nil && err != io.EOF:
			return "", err
		case err == nil:
			continue
		case c.End() == "":
			return "", nil
		case c.text.End() != "":
			return notStrict, nil
		case c.state == wantValue && len(c.open) == 0:
			return "is empty", nil
		}
		return "ends in the middle of a JSON value", nil
	}
}

const notStrict = "is not strict JSON, which has no comments, no NaN and no comma before an end"
