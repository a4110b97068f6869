package hostfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"
)

// bom is the byte order mark that some editors on Windows write.
var bom = []byte("\xef\xbb\xbf")

// document is a JSON text, perhaps with comments and trailing commas.
type document struct {
	text []byte
	root hujson.Value
}

func readJSON(text []byte) (document, error) {
	if len(bytes.TrimSpace(bytes.TrimPrefix(text, bom))) == 0 {
		text = append(bytes.Clone(text), "{}\n"...)
	}
	d := document{text: text}
	var err error
	// A space for each byte of the mark keeps the offsets.
	d.root, err = hujson.Parse(append(bytes.Repeat([]byte(" "), len(text)-len(bytes.TrimPrefix(text, bom))), bytes.TrimPrefix(text, bom)...))
	if err != nil {
		return d, fmt.Errorf("the file is not valid JSON, and was left alone: %w", err)
	}
	if _, ok := d.root.Value.(*hujson.Object); !ok {
		return d, errors.New("the file holds no JSON object, and was left alone")
	}
	return d, nil
}

func parseJSON(text []byte) (all map[string]any, err error) {
	d, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	d.root.Standardize()
	if err := json.Unmarshal(d.root.Pack(), &all); err != nil {
		return nil, fmt.Errorf("the file is not valid JSON, and was left alone: %w", err)
	}
	return all, nil
}

// findMember finds a member of an object; -1: there is none. A repeated name is an error, since
// hosts don't agree on which one counts.
func findMember(o *hujson.Object, name string) (int, error) {
	found := -1
	for i, m := range o.Members {
		if l, ok := m.Name.Value.(hujson.Literal); ok && l.String() == name {
			if found >= 0 {
				return -1, fmt.Errorf("the file has %q twice, and was left alone", name)
			}
			found = i
		}
	}
	return found, nil
}

// setJSON sets the value at a path of names, and makes the objects on the way.
func setJSON(text []byte, path []string, value any) ([]byte, error) {
	d, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	at := d.root
	for depth, name := range path {
		o, ok := at.Value.(*hujson.Object)
		if !ok {
			return nil, fmt.Errorf("%s in the file is no object, and the file was left alone", strings.Join(path[:depth], "."))
		}
		i, err := findMember(o, name)
		if err != nil {
			return nil, err
		}
		if i < 0 {
			for n := len(path) - 1; n > depth; n-- {
				value = map[string]any{path[n]: value}
			}
			return d.insert(at, o, name, value, depth+1)
		}
		at = o.Members[i].Value
	}
	old := d.text[at.StartOffset:at.EndOffset]
	if v, err := hujson.Parse(old); err == nil {
		v.Standardize()
		var now, want bytes.Buffer
		if json.Compact(&now, v.Pack()) == nil && json.Compact(&want, jsonOf(value, "", "")) == nil && bytes.Equal(now.Bytes(), want.Bytes()) {
			return d.text, nil
		}
	}
	return splice(d.text, at.StartOffset, at.EndOffset, jsonOf(value, "", "")), nil
}

// insert adds a member at the end of an object that is depth levels deep.
func (d document) insert(at hujson.Value, o *hujson.Object, name string, value any, depth int) ([]byte, error) {
	unit, lineEnd := d.layout()
	outer := strings.Repeat(unit, depth-1)
	indent := outer + unit
	n := len(o.Members)
	if n > 0 {
		if own, alone := d.indentOf(o.Members[n-1].Name.StartOffset); alone {
			indent = own
		}
	}
	added := join(jsonOf(name, "", ""), ": ", bytes.ReplaceAll(jsonOf(value, indent, unit), []byte("\n"), []byte(lineEnd)))
	if n == 0 {
		// Comments of an empty object stay before the member.
		inside := bytes.TrimRight(d.text[at.StartOffset+1:at.EndOffset-1], " \t\r\n")
		return splice(d.text, at.StartOffset+1, at.EndOffset-1, join(inside, lineEnd, indent, added, lineEnd, outer)), nil
	}
	last := o.Members[n-1].Value
	end := last.EndOffset + len(last.AfterExtra)
	if d.text[end] == ',' { // a trailing comma
		end = d.afterComment(end + 1)
		return splice(d.text, end, end, join(lineEnd, indent, added, ",")), nil
	}
	end = d.afterComment(last.EndOffset)
	text := splice(d.text, end, end, join(lineEnd, indent, added))
	return splice(text, last.EndOffset, last.EndOffset, []byte(",")), nil
}

// afterComment gives the end of a comment that follows an offset on the same line, else the
// offset.
func (d document) afterComment(offset int) int {
	line, _, _ := bytes.Cut(d.text[offset:], []byte("\n"))
	line = bytes.TrimRight(line, "\r \t")
	comment := bytes.TrimLeft(line, " \t")
	if bytes.HasPrefix(comment, []byte("//")) || bytes.HasPrefix(comment, []byte("/*")) && bytes.Index(comment, []byte("*/")) == len(comment)-2 {
		return offset + len(line)
	}
	return offset
}

// indentOf gives the white space before an offset, if nothing else is before it on its line.
func (d document) indentOf(offset int) (string, bool) {
	line := d.text[bytes.LastIndexByte(d.text[:offset], '\n')+1 : offset]
	return string(line), len(bytes.TrimLeft(line, " \t")) == 0 && bytes.IndexByte(d.text[:offset], '\n') >= 0
}

// layout gives the file's unit of indentation and its line end.
func (d document) layout() (unit, lineEnd string) {
	unit, lineEnd = "  ", "\n"
	if bytes.Contains(d.text, []byte("\r\n")) {
		lineEnd = "\r\n"
	}
	o := d.root.Value.(*hujson.Object)
	if len(o.Members) > 0 {
		if indent, own := d.indentOf(o.Members[0].Name.StartOffset); own && indent != "" {
			unit = indent
		}
	}
	return unit, lineEnd
}

// removeJSON removes a member of a section, with its comma.
func removeJSON(text []byte, section, name string) ([]byte, error) {
	d, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	root := d.root.Value.(*hujson.Object)
	at, err := findMember(root, section)
	if err != nil || at < 0 {
		return text, err
	}
	o, ok := root.Members[at].Value.Value.(*hujson.Object)
	if !ok {
		return text, nil
	}
	i, err := findMember(o, name)
	if err != nil || i < 0 {
		return text, err
	}
	m := o.Members[i]
	start, end := m.Name.StartOffset, m.Value.EndOffset
	comma := end + len(m.Value.AfterExtra)
	switch {
	case comma < len(d.text) && d.text[comma] == ',':
		end = comma + 1
	case i > 0:
		// The comma before the member goes, and comments between stay.
		before := o.Members[i-1].Value
		at := before.EndOffset + len(before.AfterExtra)
		d.text = splice(d.text, at, at+1, nil)
		start, end = start-1, end-1
	}
	// The line break before the member goes with it.
	if indent, own := d.indentOf(start); own {
		start -= len(indent) + 1
		if start > 0 && d.text[start-1] == '\r' {
			start--
		}
	}
	text = splice(d.text, start, end, nil)
	if object := root.Members[at].Value; len(o.Members) == 1 {
		inside := text[object.StartOffset+1 : object.EndOffset-1-(end-start)]
		if len(bytes.TrimSpace(inside)) == 0 {
			return splice(text, object.StartOffset+1, object.StartOffset+1+len(inside), nil), nil
		}
	}
	return text, nil
}

func splice(text []byte, from, to int, with []byte) []byte {
	return append(append(bytes.Clone(text[:from]), with...), text[to:]...)
}

func join(parts ...any) []byte { return fmt.Appendf(nil, strings.Repeat("%s", len(parts)), parts...) }

// jsonOf writes a value as JSON. An object is indented, a list stands on one line.
func jsonOf(value any, prefix, unit string) []byte {
	if list, ok := value.([]string); ok {
		items := make([][]byte, len(list))
		for i, item := range list {
			items[i] = jsonOf(item, "", "")
		}
		return join("[", bytes.Join(items, []byte(", ")), "]")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, unit)
	_ = e.Encode(value) // a string, or objects around one
	return bytes.TrimRight(b.Bytes(), "\n")
}
