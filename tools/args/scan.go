package args

import (
	"bytes"
	"iter"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here split valid JSON into its members and items, and skip strings
// with bytes.IndexByte: a decoder would read a payload of megabytes byte by byte.
// They do no harm to other input.

// takeMember splits an object into the value of one member, as a part of it, and a copy
// of the rest, in which that value is null. The value is nil if there is no such member.
func takeMember(object jsontext.Value, member string) (value, rest jsontext.Value) {
	rest = jsontext.Value("{")
	for name, v := range members(object) {
		if unquote(name) == member {
			value, v = v, jsontext.Value("null")
		}
		rest = appendMember(rest, name, v)
	}
	return value, append(rest, '}')
}

func renameMember(object jsontext.Value, from, to string) jsontext.Value {
	out := []byte{'{'}
	for name, v := range members(object) {
		if unquote(name) == from {
			name = strconv.AppendQuote(nil, to)
		}
		out = appendMember(out, name, v)
	}
	return append(out, '}')
}

// appendMember appends a member to an object that is being written.
func appendMember(object, quoted, value []byte) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	return append(append(append(object, quoted...), ':'), value...)
}

// members iterates over the members of an object, with their names as they are quoted.
func members(object jsontext.Value) iter.Seq2[[]byte, jsontext.Value] {
	return func(yield func(name []byte, value jsontext.Value) bool) {
		for i := skipOpening(object, '{'); i < len(object) && object[i] == '"'; {
			name := object[i:skipString(object, i)]
			i = skipSpace(object, i+len(name))
			if i == len(object) || object[i] != ':' {
				return
			}
			i = skipSpace(object, i+1)
			end := skipValue(object, i)
			if end == i || !yield(name, object[i:end:end]) {
				return
			}
			i = skipComma(object, end)
		}
	}
}

// items iterates over the items of a list.
func items(list jsontext.Value) iter.Seq[jsontext.Value] {
	return func(yield func(jsontext.Value) bool) {
		for i := skipOpening(list, '['); i < len(list); {
			end := skipValue(list, i)
			if end == i || !yield(list[i:end:end]) {
				return
			}
			i = skipComma(list, end)
		}
	}
}

// unquote gives the text of a string, "" if it is not valid.
func unquote(quoted []byte) string {
	b, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return ""
	}
	return string(b)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipOpening gives the index of what comes after an opening bracket, len(b) if b does not
// start with it.
func skipOpening(b []byte, bracket byte) int {
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != bracket {
		return len(b)
	}
	return skipSpace(b, i+1)
}

// skipComma gives the index of what comes after a comma, if there is one at b[i].
func skipComma(b []byte, i int) int {
	if i = skipSpace(b, i); i < len(b) && b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	return i
}

// skipString gives the index behind the string that starts at b[i].
func skipString(b []byte, i int) int {
	for from := i + 1; ; {
		n := bytes.IndexByte(b[from:], '"')
		if n < 0 {
			return len(b)
		}
		quote := from + n
		slashes := 0
		for k := quote - 1; k > i && b[k] == '\\'; k-- {
			slashes++
		}
		from = quote + 1
		if slashes%2 == 0 {
			return from
		}
	}
}

// skipValue gives the index behind the value that starts at b[i].
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			i++
		case ',', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return i
			}
			i++
			continue
		default:
			i++
			if depth == 0 { // a number or literal goes on to its delimiter
				continue
			}
		}
		if depth == 0 {
			return i
		}
	}
	return i
}
