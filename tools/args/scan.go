package args

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here split valid JSON into its members and items, and skip strings
// with bytes.IndexByte: a decoder would read a payload of megabytes byte by byte.
// They do no harm to other input.

// takeMember splits arguments into the value of one member, as a part of args, and a
// copy of the rest, in which that value is null. The value is nil if there is no such
// member.
func takeMember(args jsontext.Value, member string) (value, rest jsontext.Value) {
	out := []byte{'{'}
	ok := eachMember(args, func(name, v []byte) {
		if unquote(name) == member {
			value, v = v, []byte("null")
		}
		out = appendMember(out, name, v)
	})
	if !ok {
		return nil, args
	}
	return value, append(out, '}')
}

func renameMember(object jsontext.Value, from, to string) jsontext.Value {
	out := []byte{'{'}
	eachMember(object, func(name, v []byte) {
		if unquote(name) == from {
			name = strconv.AppendQuote(nil, to)
		}
		out = appendMember(out, name, v)
	})
	return append(out, '}')
}

// appendMember appends a member to an object that is being written.
func appendMember(object, quoted, value []byte) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	return append(append(append(object, quoted...), ':'), value...)
}

// eachMember calls f for each member of an object, with its name as it is quoted. It
// reports whether v is an object.
func eachMember(v jsontext.Value, f func(name, value []byte)) bool {
	i := skipSpace(v, 0)
	if i == len(v) || v[i] != '{' {
		return false
	}
	for i = skipSpace(v, i+1); i < len(v) && v[i] == '"'; i = skipSpace(v, i) {
		name := v[i:skipString(v, i)]
		i = skipSpace(v, i+len(name))
		if i == len(v) || v[i] != ':' {
			return false
		}
		i = skipSpace(v, i+1)
		end := skipValue(v, i)
		if end == i {
			return false
		}
		f(name, v[i:end:end])
		if i = skipSpace(v, end); i < len(v) && v[i] == ',' {
			i++
		}
	}
	return true
}

// eachItem calls f for each item of a list.
func eachItem(v jsontext.Value, f func(item []byte)) {
	i := skipSpace(v, 0)
	if i == len(v) || v[i] != '[' {
		return
	}
	for i = skipSpace(v, i+1); i < len(v); i = skipSpace(v, i) {
		end := skipValue(v, i)
		if end == i {
			return
		}
		f(v[i:end:end])
		if i = skipSpace(v, end); i < len(v) && v[i] == ',' {
			i++
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
