package tools

import (
	"bytes"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// viewLimit is the longest value, in bytes, that the schema validator gets to
// see as it is. No schema asks for more than the kind of a longer one.
const viewLimit = 4096

// view gives what the schema validator needs of arguments: the same shape,
// with every string over viewLimit replaced by a short one (still long enough
// to break a maxLength), and every object and list of an opaque member (one whose
// schema looks no further than its kind) by an empty one. So a payload of
// megabytes is never decoded just to learn that it is a string, and what is in
// one is nobody's business here: a name that stands twice, a number that no
// float64 holds.
//
// args must be valid JSON; it is returned as it is when it is not an object.
func view(args jsontext.Value, opaque map[string]bool) jsontext.Value {
	out := append(make([]byte, 0, min(len(args), 2*viewLimit)), '{')
	ok := eachMember(args, func(name, v []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendShort(out, name), ':')
		switch {
		case v[0] == '{' && opaque[memberName(name)]:
			out = append(out, "{}"...)
		case v[0] == '[' && opaque[memberName(name)]:
			out = append(out, "[]"...)
		case jsontext.Value(v).Kind() == '0' && opaque[memberName(name)]:
			out = append(out, readable(v)...)
		default:
			out = appendShort(out, v)
		}
	})
	if !ok {
		return args
	}
	return append(out, '}')
}

// readable gives a number that float64 can hold, in place of one that is larger.
func readable(number []byte) []byte {
	f, err := strconv.ParseFloat(string(number), 64)
	if err == nil {
		return number
	}
	return strconv.AppendFloat(nil, math.Copysign(math.MaxFloat64, f), 'g', -1, 64)
}

// takeMember splits arguments into the value of one member, as a part of args,
// and a copy of the rest, in which that value is null. So the rest can be
// decoded without another pass over a payload. The value is nil if there is no
// such member.
func takeMember(args jsontext.Value, member string) (value, rest jsontext.Value) {
	rest = append(rest, '{')
	ok := eachMember(args, func(name, v []byte) {
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		rest = append(append(rest, name...), ':')
		if memberName(name) == member {
			value, v = v, []byte("null")
		}
		rest = append(rest, v...)
	})
	if !ok {
		return nil, args
	}
	return value, append(rest, '}')
}

// eachMember calls f for each member of the object args, which must be valid
// JSON, with its name as it is quoted. It reports whether args is an object.
func eachMember(args jsontext.Value, f func(name, value []byte)) bool {
	i := skipSpace(args, 0)
	if i == len(args) || args[i] != '{' {
		return false
	}
	for i = skipSpace(args, i+1); i < len(args) && args[i] == '"'; i = skipSpace(args, i) {
		name := args[i:skipString(args, i)]
		i = skipSpace(args, i+len(name))
		if i == len(args) || args[i] != ':' {
			return false
		}
		i = skipSpace(args, i+1)
		end := skipValue(args, i)
		if end == i {
			return false
		}
		f(name, args[i:end:end])
		if i = skipSpace(args, end); i < len(args) && args[i] == ',' {
			i++
		}
	}
	return true
}

// appendShort appends a value with its long strings made short.
func appendShort(dst, v []byte) []byte {
	for {
		if len(v) <= viewLimit {
			return append(dst, v...)
		}
		start := bytes.IndexByte(v, '"')
		if start < 0 {
			return append(dst, v...)
		}
		dst = append(dst, v[:start]...)
		end := skipString(v, start)
		if end-start > viewLimit+2 {
			dst = append(dst, '"')
			dst = append(dst, bytes.Repeat([]byte("x"), viewLimit)...)
			dst = append(dst, '"')
		} else {
			dst = append(dst, v[start:end]...)
		}
		v = v[end:]
	}
}

// memberName is the unquoted name, or nothing for a name that is not plain.
func memberName(quoted []byte) string {
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
