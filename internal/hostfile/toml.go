package hostfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	tomlv2 "github.com/pelletier/go-toml/v2"
)

// maxTOMLLines bounds the lines of one value that is looked at.
const maxTOMLLines = 2000

var errTOMLForm = errors.New("the file has the entry in a form that is not changed here, and was left alone: change it by hand")

func parseTOML(text []byte) (all map[string]any, err error) {
	if err := tomlv2.Unmarshal(bytes.TrimPrefix(text, bom), &all); err != nil {
		return nil, fmt.Errorf("the file is not valid TOML, and was left alone: %w", err)
	}
	if all == nil {
		all = map[string]any{}
	}
	return all, nil
}

// statement is a statement of a TOML text: the header of a table, a key with its value, or a
// line without both.
type statement struct {
	text []byte
	path []string // of a header or a key; nil: neither
	head bool
}

// statements splits a valid text. A statement ends with the first line end that makes it
// valid by itself.
func statements(text []byte) (all []statement, err error) {
	for len(text) > 0 {
		end, lines := 0, 0
		var value map[string]any
		for {
			line := bytes.IndexByte(text[end:], '\n') + 1
			if line == 0 {
				line = len(text) - end
			}
			end += line
			value = nil
			if tomlv2.Unmarshal(text[:end], &value) == nil {
				break
			}
			if lines++; end == len(text) || lines == maxTOMLLines {
				return nil, errTOMLForm
			}
		}
		s := statement{text: text[:end], head: bytes.HasPrefix(bytes.TrimLeft(text[:end], " \t"), []byte("["))}
		for at := any(value); ; {
			if list, ok := at.([]any); ok && s.head && len(list) == 1 {
				at = list[0] // of a header [[name]]
			}
			m, ok := at.(map[string]any)
			if !ok || len(m) != 1 {
				break
			}
			for name := range m {
				s.path, at = append(s.path, name), m[name]
			}
		}
		all, text = append(all, s), text[end:]
	}
	return all, nil
}

// setTOML sets the value at a path of section, table and name, or of section, table, env and
// name.
func setTOML(text []byte, path []string, value any) ([]byte, error) {
	text, mark := cutMark(text)
	all, err := statements(text)
	if err != nil {
		return nil, err
	}
	table, key := path[:len(path)-1], path[len(path)-1]
	now, err := parseTOML(text)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(nil, "%s = %s%s", tomlKey(key), tomlOf(value), lineEndOf(text))
	at, there := lookUp(now, table)
	old, set := lookUp(at, []string{key})
	if set && fmt.Sprint(old) == fmt.Sprint(value) {
		return append(mark, text...), nil
	}
	from, to := tableIn(all, table)
	switch {
	case from < 0 && there:
		return nil, errTOMLForm // an inline table, or dotted keys
	case from < 0:
		header := fmt.Appendf(nil, "[%s]%s", joinKeys(table), lineEndOf(text))
		after, _ := tableIn(all, table[:len(table)-1])
		// A table of variables stands after the table that it belongs to.
		if _, end := tableIn(all, table[:len(table)-1]); after >= 0 && len(table) > 2 {
			return append(mark, putAt(all, end, true, header, line)...), nil
		}
		return append(mark, putAt(all, len(all), true, header, line)...), nil
	}
	for i := from + 1; i < to; i++ {
		if slices.Equal(all[i].path, []string{key}) {
			all[i].text = line
			return append(mark, textOf(all)...), nil
		}
	}
	if set {
		return nil, errTOMLForm
	}
	return append(mark, putAt(all, to, false, line)...), nil
}

// removeTOML removes a table of the section, and the tables in it.
func removeTOML(text []byte, section, name string) ([]byte, error) {
	whole := text
	text, mark := cutMark(text)
	now, err := parseTOML(text)
	if err != nil {
		return nil, err
	}
	if _, there := lookUp(now, []string{section, name}); !there {
		return whole, nil
	}
	all, err := statements(text)
	if err != nil {
		return nil, err
	}
	var left []statement
	inside := false
	for _, s := range all {
		if s.head {
			inside = len(s.path) >= 2 && s.path[0] == section && s.path[1] == name
		}
		if !inside {
			left = append(left, s)
		}
	}
	if len(left) == len(all) {
		return nil, errTOMLForm
	}
	for inside && len(left) > 0 && len(bytes.TrimSpace(left[len(left)-1].text)) == 0 {
		left = left[:len(left)-1] // the empty line before what stood at the end
	}
	return append(mark, textOf(left)...), nil
}

func cutMark(text []byte) (rest, mark []byte) {
	rest = bytes.TrimPrefix(text, bom)
	return rest, bytes.Clone(text[:len(text)-len(rest)])
}

// lookUp gives the value at a path.
func lookUp(at any, path []string) (any, bool) {
	for _, name := range path {
		m, _ := at.(map[string]any)
		var ok bool
		if at, ok = m[name]; !ok {
			return nil, false
		}
	}
	return at, true
}

// tableIn gives the header of a table, -1 if there is none, and the end of the table without
// empty lines and comments before the next header.
func tableIn(all []statement, path []string) (from, to int) {
	from = slices.IndexFunc(all, func(s statement) bool { return s.head && slices.Equal(s.path, path) })
	if from < 0 {
		return -1, -1
	}
	to = from + 1
	for i := to; i < len(all) && !all[i].head; i++ {
		if all[i].path != nil {
			to = i + 1
		}
	}
	return from, to
}

// putAt puts lines before a statement, after an empty line if apart is set.
func putAt(all []statement, at int, apart bool, lines ...[]byte) []byte {
	before, after := textOf(all[:at]), textOf(all[at:])
	lineEnd := lineEndOf(textOf(all))
	if len(before) > 0 && !bytes.HasSuffix(before, []byte("\n")) {
		before = append(before, lineEnd...)
	}
	if apart && len(before) > 0 && !bytes.HasSuffix(before, []byte(lineEnd+lineEnd)) {
		before = append(before, lineEnd...)
	}
	return slices.Concat(before, slices.Concat(lines...), after)
}

func textOf(all []statement) (text []byte) {
	for _, s := range all {
		text = append(text, s.text...)
	}
	return text
}

func lineEndOf(text []byte) string {
	if bytes.Contains(text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

func joinKeys(path []string) string {
	keys := make([]string, len(path))
	for i, k := range path {
		keys[i] = tomlKey(k)
	}
	return strings.Join(keys, ".")
}

func tomlKey(key string) string {
	for _, c := range key {
		if !(c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return tomlOf(key)
		}
	}
	return key
}

// tomlOf writes a string or a list of strings.
func tomlOf(value any) string {
	if list, ok := value.([]string); ok {
		items := make([]string, len(list))
		for i, item := range list {
			items[i] = tomlOf(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	text := value.(string)
	if !strings.ContainsFunc(text, func(c rune) bool { return c == '\'' || c < ' ' || c == 0x7f }) {
		return "'" + text + "'" // backslashes of Windows' paths stay as they are
	}
	// TOML's escapes include JSON's, and DEL must be escaped too.
	return strings.ReplaceAll(string(jsonOf(text, "", "")), "\x7f", `\u007F`)
}
