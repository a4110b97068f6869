package tools

import "github.com/go-json-experiment/json/jsontext"

// view is view for the arguments of a tool: no value that may be anything is looked
// at, however short it is. What stands in it (a number that no float64 holds, a name
// twice) is its sender's business.
func (s *shape) view(args jsontext.Value) jsontext.Value {
	return s.appendView(make([]byte, 0, min(len(args)+8, 2*viewLimit)), args)
}

func (s *shape) appendView(dst, v []byte) []byte {
	switch {
	case s == nil || len(v) == 0:
	case s.any:
		switch v[0] {
		case '"':
			return append(dst, `""`...)
		case '{':
			return append(dst, "{}"...)
		case '[':
			return append(dst, "[]"...)
		case 't', 'f', 'n':
			return append(dst, v...)
		}
		return append(dst, '0')
	case s.members != nil && v[0] == '{':
		dst = append(dst, '{')
		eachMember(v, func(name, member []byte) {
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(appendShort(dst, name), ':')
			dst = s.members[memberName(name)].appendView(dst, member)
		})
		return append(dst, '}')
	case s.item != nil && v[0] == '[':
		dst = append(dst, '[')
		eachItem(v, func(item []byte) {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = s.item.appendView(dst, item)
		})
		return append(dst, ']')
	}
	return appendShort(dst, v)
}

// eachItem calls f for each item of the list v, which must be valid JSON.
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
