package transport

import (
	"encoding/json"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// readableInitialize removes from an initialize request what mcp-go can't read, so that
// a wrong detail about the client does not fail the request.
func (m *message) readableInitialize() {
	var kept []member
	for _, o := range m.object.others {
		switch o.name {
		case "protocolVersion":
			if o.value.Kind() != '"' {
				continue // as if it were missing
			}
		case "clientInfo":
			if o.value.Kind() == '"' {
				o.value = jsontext.Value(`{"name":` + string(o.value) + `}`)
			}
			o.value = readable[mcp.Implementation](o.value, nil)
		case "capabilities":
			o.value = readableCapabilities(o.value)
		default:
			continue // mcp-go reads no others
		}
		kept = append(kept, o)
	}
	m.object.others = kept
}

// readableCapabilities gives a client's capabilities. true stands for a capability
// without details.
func readableCapabilities(v jsontext.Value) jsontext.Value {
	return readable[mcp.ClientCapabilities](v, func(_ string, value jsontext.Value) jsontext.Value {
		if value.Kind() == 't' {
			return jsontext.Value("{}")
		}
		return value
	})
}

// readableMeta gives a request's _meta without members that mcp-go can't read, such
// as a number that no float64 holds.
func readableMeta(v jsontext.Value) jsontext.Value {
	var meta map[string]json.RawMessage
	if json.Unmarshal(v, new(map[string]any)) == nil && json.Unmarshal(v, &meta) == nil {
		c, says := meta[mcp.MetaKeyClientCapabilities]
		if !says || json.Unmarshal(c, new(mcp.ClientCapabilities)) == nil && string(c) != "null" {
			return v
		}
	}
	return readable[map[string]any](v, func(name string, value jsontext.Value) jsontext.Value {
		if name == mcp.MetaKeyClientCapabilities && (value.Kind() == '{' || absent(value)) {
			return readableCapabilities(value)
		}
		return value
	})
}

// readable gives the members of an object that encoding/json can read into a T. fix may
// replace a member's value; it may be nil. A value that is no object becomes an empty
// object.
func readable[T any](v jsontext.Value, fix func(name string, value jsontext.Value) jsontext.Value) jsontext.Value {
	twice := jsontext.AllowDuplicateNames(true)
	clean := map[string]jsontext.Value{}
	var all map[string]jsontext.Value
	if v.Kind() == '{' && jsonv2.Unmarshal(v, &all, twice) == nil {
		for name, value := range all {
			if fix != nil {
				value = fix(name, value)
			}
			alone, err := jsonv2.Marshal(map[string]jsontext.Value{name: value}, twice)
			if err == nil && json.Unmarshal(alone, new(T)) == nil && json.Unmarshal(alone, new(any)) == nil {
				clean[name] = value
			}
		}
	}
	b, err := jsonv2.Marshal(clean, twice)
	if err != nil {
		return jsontext.Value("{}")
	}
	return b
}
