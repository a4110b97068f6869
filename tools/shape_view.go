package tools

import "github.com/go-json-experiment/json/jsontext"

// view is view for the arguments of a tool: no value that may be anything is looked
// at, however short it is. What stands in it (a number that no float64 holds, a name
// twice) is its sender's business. It goes over each byte once.
func (s *shape) view(args jsontext.Value) jsontext.Value {
	dst, _ := s.appendView(make([]byte, 0, min(len(args)+8, 2*viewLimit)), args, skipSpace(args, 0))
	return dst
}

// appendView appends the view of the value that starts at b[i], and gives the index
// behind it. b must be valid JSON.
func (s *shape) appendView(dst, b []byte, i int) ([]byte, int) {
	if i < len(b) && s != nil && !s.any {
		switch {
		case s.members != nil && b[i] == '{':
			return s.appendMembers(dst, b, i)
		case s.item != nil && b[i] == '[':
			return s.appendItems(dst, b, i)
		}
	}
	end := skipValue(b, i)
	v := b[i:end]
	if s == nil || !s.any || len(v) == 0 {
		return appendShort(dst, v), end
	}
	switch v[0] {
	case '"':
		return append(dst, `""`...), end
	case '{':
		return append(dst, "{}"...), end
	case '[':
		return append(dst, "[]"...), end
	case 't', 'f', 'n':
		return append(dst, v...), end
	}
	return append(dst, '0'), end
}

func (s *shape) appendMembers(dst, b []byte, i int) ([]byte, int) {
	dst = append(dst, '{')
	for i = skipSpace(b, i+1); i < len(b) && b[i] == '"'; i = skipSpace(b, i) {
		name := b[i:skipString(b, i)]
		i = skipSpace(b, i+len(name))
		if i == len(b) || b[i] != ':' {
			return dst, len(b)
		}
		dst = append(appendShort(dst, name), ':')
		dst, i = s.members[memberName(name)].appendView(dst, b, skipSpace(b, i+1))
		if i = skipSpace(b, i); i < len(b) && b[i] == ',' {
			dst = append(dst, ',')
			i++
		}
	}
	return append(dst, '}'), min(i+1, len(b))
}

func (s *shape) appendItems(dst, b []byte, i int) ([]byte, int) {
	dst = append(dst, '[')
	for i = skipSpace(b, i+1); i < len(b) && b[i] != ']'; i = skipSpace(b, i) {
		start := i
		if dst, i = s.item.appendView(dst, b, i); i == start {
			return dst, len(b)
		}
		if i = skipSpace(b, i); i < len(b) && b[i] == ',' {
			dst = append(dst, ',')
			i++
		}
	}
	return append(dst, ']'), min(i+1, len(b))
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
