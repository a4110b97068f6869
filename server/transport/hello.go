package transport

import (
	"encoding/json"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// cleanHello leaves in an initialize request what mcp-go can read. A client that
// says of itself something odd is served all the same.
func (m *message) cleanHello() {
	var kept []member
	for _, o := range m.object.others {
		switch o.name {
		case "protocolVersion":
			if o.value.Kind() != '"' {
				continue // as if it were missing
			}
		case "clientInfo":
			o.value = cleanClientInfo(o.value)
		case "capabilities":
			o.value = cleanCapabilities(o.value)
		default:
			continue // mcp-go reads no others
		}
		kept = append(kept, o)
	}
	m.object.others = kept
}

// cleanClientInfo gives a client's name and version as an object.
func cleanClientInfo(v jsontext.Value) jsontext.Value {
	if v.Kind() == '"' {
		return jsontext.Value(`{"name":` + string(v) + `}`)
	}
	return cleanObject(v, func(name string, _ jsontext.Value, alone []byte) (jsontext.Value, bool) {
		return nil, json.Unmarshal(alone, new(mcp.Implementation)) == nil
	})
}

// cleanCapabilities gives a client's capabilities; true stands for one without
// details.
func cleanCapabilities(v jsontext.Value) jsontext.Value {
	return cleanObject(v, func(name string, value jsontext.Value, alone []byte) (jsontext.Value, bool) {
		if value.Kind() == 't' {
			return jsontext.Value("{}"), true
		}
		return nil, json.Unmarshal(alone, new(mcp.ClientCapabilities)) == nil && json.Unmarshal(alone, new(any)) == nil
	})
}

// cleanMeta gives a request's _meta without members that mcp-go can't read, such
// as a number that no float64 holds.
func cleanMeta(v jsontext.Value) jsontext.Value {
	var meta map[string]json.RawMessage
	if json.Unmarshal(v, new(map[string]any)) == nil && json.Unmarshal(v, &meta) == nil {
		c, says := meta[mcp.MetaKeyClientCapabilities]
		if !says || json.Unmarshal(c, new(mcp.ClientCapabilities)) == nil && string(c) != "null" {
			return v
		}
	}
	return cleanObject(v, func(name string, value jsontext.Value, alone []byte) (jsontext.Value, bool) {
		if name == mcp.MetaKeyClientCapabilities && (value.Kind() == '{' || absent(value)) {
			return cleanCapabilities(value), true
		}
		return nil, json.Unmarshal(alone, new(map[string]any)) == nil
	})
}

// cleanObject gives an object with the members that keep wants, which may put
// another value for one; alone is an object of that member only. What is no
// object becomes an empty one.
func cleanObject(v jsontext.Value, keep func(name string, value jsontext.Value, alone []byte) (instead jsontext.Value, ok bool)) jsontext.Value {
	clean := map[string]jsontext.Value{}
	var all map[string]jsontext.Value
	if v.Kind() == '{' && jsonv2.Unmarshal(v, &all, jsontext.AllowDuplicateNames(true)) == nil {
		for name, value := range all {
			alone, err := jsonv2.Marshal(map[string]jsontext.Value{name: value}, jsontext.AllowDuplicateNames(true))
			if err != nil {
				continue
			}
			instead, ok := keep(name, value, alone)
			if !ok {
				continue
			}
			if instead != nil {
				value = instead
			}
			clean[name] = value
		}
	}
	b, err := jsonv2.Marshal(clean, jsontext.AllowDuplicateNames(true))
	if err != nil {
		return jsontext.Value("{}")
	}
	return b
}
