package hostfile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// Snippet is what stands in the host's file if the server is its only one.
func (h Host) Snippet(s Server) (string, error) {
	text, err := h.Set(nil, s)
	return string(text), err
}

// Link is a URL that makes the host ask its user to add the server; "" if the host has none.
func (h Host) Link(s Server) (string, error) {
	entry := map[string]any{"command": s.Command, "args": append([]string{}, s.Args...)}
	if len(s.Env) > 0 {
		entry["env"] = s.Env
	}
	switch h.Name {
	case "cursor":
		b, err := json.Marshal(entry)
		return "cursor://anysphere.cursor-deeplink/mcp/install?name=" + url.QueryEscape(s.Name) +
			"&config=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b)), err
	case "vscode":
		entry["name"] = s.Name
		b, err := json.Marshal(entry)
		return "vscode:mcp/install?" + url.PathEscape(string(b)), err
	}
	return "", nil
}

// Difference shows, for people, what a change does to a text: lines that go begin with "-",
// lines that come with "+", and up to three lines around them with a space. A line that both
// have in one block is shown as unchanged only at the block's ends. Values whose names look
// like those of secrets are hidden.
func Difference(before, after []byte) string {
	a, b := lines(before), lines(after)
	first := 0
	for first < len(a) && first < len(b) && bytes.Equal(a[first], b[first]) {
		first++
	}
	same := 0
	for same < len(a)-first && same < len(b)-first && bytes.Equal(a[len(a)-1-same], b[len(b)-1-same]) {
		same++
	}
	const around = 3
	var out strings.Builder
	show := func(mark string, lines [][]byte) {
		for _, l := range lines {
			out.WriteString(mark + secretValue.ReplaceAllString(strings.TrimRight(string(l), "\r\n"), "$1[hidden]") + "\n")
		}
	}
	show(" ", a[max(0, first-around):first])
	show("-", a[first:len(a)-same])
	show("+", b[first:len(b)-same])
	show(" ", a[len(a)-same:min(len(a), len(a)-same+around)])
	return out.String()
}

// secretValue is a member or a key whose value may be a secret.
var secretValue = regexp.MustCompile(`(?i)([\w-]*(?:key|token|secret|passw|auth|credential)[\w-]*["']?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*')`)

func lines(text []byte) (all [][]byte) {
	for l := range bytes.Lines(text) {
		all = append(all, l)
	}
	return all
}
