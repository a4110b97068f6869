package tools

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// shape is what the reader of arguments knows of a tool's input schema.
type shape struct {
	name    string // of the member
	kind    string // "string", "integer" and so on
	any     bool   // takes any JSON value, whatever the schema says
	words   []string
	members map[string]*shape // of an object
	folded  map[string]*shape // the same, by fold of their names
	names   []string          // sorted
	item    *shape            // of an array
}

// anyJSON are the members that take any JSON value. The schemas call them strings,
// since some hosts know no other way to write "any value".
var anyJSON = []string{"content", "metadata"}

// shapeOf reads a schema.
func shapeOf(name string, schema json.RawMessage) (*shape, error) {
	var s struct {
		Type       string                     `json:"type"`
		Enum       []string                   `json:"enum"`
		Properties map[string]json.RawMessage `json:"properties"`
		Items      json.RawMessage            `json:"items"`
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	out := &shape{name: name, kind: s.Type, words: s.Enum, any: slices.Contains(anyJSON, name)}
	if s.Items != nil {
		var err error
		if out.item, err = shapeOf(name, s.Items); err != nil {
			return nil, err
		}
	}
	if s.Properties == nil {
		return out, nil
	}
	out.members, out.folded = make(map[string]*shape), make(map[string]*shape)
	for name, schema := range s.Properties {
		member, err := shapeOf(name, schema)
		if err != nil {
			return nil, err
		}
		out.members[name], out.folded[fold(name)] = member, member
		out.names = append(out.names, name)
	}
	slices.Sort(out.names)
	return out, nil
}

// strict makes a schema check what it does not advertise: some hosts refuse
// additionalProperties, and know no member of any type.
func strict(schema map[string]any) {
	if members, ok := schema["properties"].(map[string]any); ok {
		schema["additionalProperties"] = false
		for name, m := range members {
			if m, ok := m.(map[string]any); ok && slices.Contains(anyJSON, name) {
				delete(m, "type")
			} else if ok {
				strict(m)
			}
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		strict(items)
	}
}

// at gives the shape at a place in the arguments, nil if there is none.
func (s *shape) at(place []string) *shape {
	for _, p := range place {
		switch {
		case s == nil:
			return nil
		case s.item != nil:
			s = s.item
		default:
			s = s.members[p]
		}
	}
	return s
}

// fold makes the spellings of a name equal: max_retrievals, maxRetrievals,
// max-retrievals.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// hostNames are what hosts add to the arguments by themselves, folded. Names that
// could be meant for us are not among them: "expires_in" must not be lost.
var hostNames = []string{
	"waitforprevious", "waitforprevioustools", "toolsummary", "toolaction", // Gemini CLI, Antigravity
	"sessionid", "action", "chatinput", "toolcallid", "tool", "toolname", // n8n, LangChain
	"securitycontext",                   // CrewAI
	"securityrisk",                      // OpenHands
	"requestheartbeat", "innerthoughts", // Letta
	"randomstring", "dummy", // Cursor, for tools without required arguments
	"taskprogress",          // Cline
	"explanation", "reason", // Windsurf, Kiro, Claude Code
	"runmanager", "callbacks", "config", "runtime", // LangChain
	"cancellationtoken", "toolcontext", "requestid", "progresstoken", "signal", // AutoGen, ADK, SDKs
}

// addedByHost reports whether a host put in an argument by itself.
func addedByHost(name string) bool {
	return strings.HasPrefix(name, "_") || slices.Contains(hostNames, fold(name))
}

// otherNames are what models call our arguments, folded. They are not taken: they
// may be meant otherwise.
var otherNames = map[string]string{
	"text": "content", "message": "content", "body": "content", "data": "content", "payload": "content", "value": "content", "json": "content",
	"mimetype": "content_type", "type": "content_type", "mediatype": "content_type", "format": "content_type",
	"expires": "ttl_seconds", "expiresin": "ttl_seconds", "expiry": "ttl_seconds", "lifetime": "ttl_seconds", "timeout": "ttl_seconds", "duration": "ttl_seconds",
	"maxclaims": "max_retrievals", "maxreads": "max_retrievals", "maxviews": "max_retrievals", "maxdownloads": "max_retrievals", "uses": "max_retrievals", "burn": "max_retrievals", "once": "max_retrievals",
	"encrypt": "sealed", "encrypted": "sealed", "seal": "sealed", "e2e": "sealed", "meta": "metadata", "labels": "metadata", "tags": "metadata",
	"file": "path", "filepath": "path", "folder": "save_to", "directory": "save_to", "output": "save_to", "outputpath": "save_to", "destination": "save_to",
	"url": "claim_url", "link": "claim_url", "uri": "claim_url", "token": "claim_url", "id": "claim_url", "claimurl": "id", "kubbi": "claim_url", "kubbiid": "id",
	"state": "status", "filter": "status", "pagesize": "limit", "perpage": "limit", "count": "limit", "replace": "overwrite", "force": "overwrite",
}

// nearest gives the member whose name a misspelled one may stand for, "" if none
// is near.
func (s *shape) nearest(name string) string {
	name = fold(name)
	if len(name) > 60 || len(name) < 2 {
		return ""
	}
	if other := otherNames[name]; s.members[other] != nil {
		return other
	}
	best, least := "", max(1, len(name)/3)+1
	for _, known := range s.names {
		f := fold(known)
		d := editDistance(name, f)
		if strings.Contains(f, name) || strings.Contains(name, f) {
			d = min(d, 1) // ttl, url, the_content
		}
		if d < least {
			best, least = known, d
		}
	}
	return best
}

// editDistance counts the bytes to insert, delete, replace or swap with the next
// to make b of a.
func editDistance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
