package page

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a tree that is shown. A larger one is shown only as text.
const (
	maxDepth = 64
	maxNodes = 5000
)

// Node is a JSON value in a tree. Members keep their order, and numbers and strings
// are shown as they were written.
type Node struct {
	Named bool   // it has a Key in the node above
	Key   string // name of an object's member, or index in an array
	Index bool   // Key is an index
	Kind  string // object, array, string, number, literal
	Text  string // of a plain value
	Nodes []*Node
}

// Open reports whether the node is shown open.
func (n *Node) Open() bool { return len(n.Nodes) <= 20 }

// treeOf reads a tree. It returns nil if data is not an object or array, or is too large.
func treeOf(data []byte) *Node {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	left := maxNodes
	n, ok := readNode(d, &left)
	if !ok || n.Kind != "object" && n.Kind != "array" {
		return nil
	}
	return n
}

func readNode(d *jsontext.Decoder, left *int) (*Node, bool) {
	if *left--; *left < 0 || d.StackDepth() > maxDepth {
		return nil, false
	}
	switch kind := d.PeekKind(); kind {
	case '{', '[':
		n := &Node{Kind: "object"}
		if kind == '[' {
			n.Kind = "array"
		}
		if _, err := d.ReadToken(); err != nil {
			return nil, false
		}
		for d.PeekKind() != '}' && d.PeekKind() != ']' {
			key, index := strconv.Itoa(len(n.Nodes)), true
			if kind == '{' {
				t, err := d.ReadToken()
				if err != nil {
					return nil, false
				}
				key, index = visible(t.String()), false
			}
			child, ok := readNode(d, left)
			if !ok {
				return nil, false
			}
			child.Named, child.Key, child.Index = true, key, index
			n.Nodes = append(n.Nodes, child)
		}
		_, err := d.ReadToken()
		return n, err == nil
	default:
		v, err := d.ReadValue()
		if err != nil {
			return nil, false
		}
		n := &Node{Kind: "literal", Text: visible(string(v))}
		switch kind {
		case '"':
			n.Kind = "string"
		case '0':
			n.Kind = "number"
		}
		return n, true
	}
}
