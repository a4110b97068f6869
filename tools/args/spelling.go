package args

import (
	"encoding/base64"
	"math"
	"regexp"
	"strconv"
	"strings"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// spellings read arguments whose values hosts and models write in several ways. They
// give the word of the API, "" for a word that says nothing, and an unknown word as
// it is.
var spellings = map[string]func(string) string{
	"content_type": MediaType,
	"encoding":     Encoding,
	"status":       statusWord,
}

// otherTypes are other names of the types that a single content can have. TypeByName knows
// those that are file extensions.
var otherTypes = map[string]string{
	"text/json": api.TypeJSON, "application/x-json": api.TypeJSON,
	"text/x-markdown": api.TypeMarkdown, "application/csv": api.TypeCSV,
	"plain": api.TypeText, "plaintext": api.TypeText, "string": api.TypeText,
}

// MediaType gives a content type without parameters, in lower case. It also reads
// short names and file extensions, such as json and .csv.
func MediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	s = strings.ToLower(strings.TrimSpace(s))
	if t := otherTypes[s]; t != "" {
		return t
	}
	if s == "null" || s == "" {
		return ""
	}
	if !strings.Contains(s, "/") {
		if t := files.TypeByName("x." + strings.TrimPrefix(s, ".")); t != "" {
			return t
		}
	}
	return s
}

// EncodingText is the value of encoding for content that is plain text.
const EncodingText = "text"

// Encoding gives base64, or "" for the names of plain text.
func Encoding(s string) string {
	switch fold(s) {
	case "base64", "b64", "base64url", "base64urlsafe":
		return api.EncodingBase64
	case "", "null", "none", "utf8", EncodingText, "plain", "ascii", "usascii", "raw", "identity":
		return ""
	}
	return s
}

// statusWord gives a kubbi's status, "" for a word that means every status.
func statusWord(s string) string {
	s = strings.ToLower(s)
	if s == "all" || s == "any" || s == "*" {
		return ""
	}
	return s
}

var (
	durationPart = regexp.MustCompile(`(?i)^(\d{1,9}(?:\.\d{1,3})?)\s*(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)\s*`)
	unitSeconds  = map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 24 * 3600}
)

// readDuration reads a duration such as 1h, 30m, 1d, 90 seconds, 1h30m or PT1H.
func readDuration(s string) (seconds int64, ok bool) {
	if iso, found := strings.CutPrefix(strings.ToUpper(s), "P"); found {
		days, rest, timed := strings.Cut(iso, "T")
		if strings.Contains(days, "M") || timed == (rest == "") {
			return 0, false // months
		}
		s = days + rest
	}
	total := 0.0
	for s != "" {
		m := durationPart.FindStringSubmatch(s)
		if m == nil {
			return 0, false
		}
		n, _ := strconv.ParseFloat(m[1], 64)
		total += n * unitSeconds[m[2][0]|0x20]
		s = s[len(m[0]):]
	}
	seconds = int64(math.Ceil(total))
	return seconds, seconds > 0
}

// DataURI splits a data URI in base64. ok is false for anything else.
func DataURI(s string) (contentType, data string, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) < 5 || !strings.EqualFold(s[:5], "data:") {
		return "", "", false
	}
	comma := strings.IndexByte(s[:min(len(s), 1024)], ',')
	if comma < 0 {
		return "", "", false
	}
	header := strings.ToLower(s[5:comma])
	header, ok = strings.CutSuffix(header, ";base64")
	return header, s[comma+1:], ok
}

// Base64 gives base64 in the form that the API takes: the standard alphabet, padded,
// without line breaks. It does not copy a text in that form, and does not change a
// text that is not base64.
func Base64(s string) string {
	if strings.Contains(s, "%") { // from a data URI
		s = strings.NewReplacer("%2B", "+", "%2b", "+", "%2F", "/", "%2f", "/", "%3D", "=", "%3d", "=", "%0A", "", "%0a", "", "%0D", "", "%0d", "").Replace(s)
	}
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, ' ') >= 0 || strings.IndexByte(s, '\r') >= 0 || strings.IndexByte(s, '\t') >= 0 {
		s = strings.Join(strings.Fields(s), "")
	}
	if url := strings.IndexByte(s, '-') >= 0 || strings.IndexByte(s, '_') >= 0; url && !strings.ContainsAny(s, "+/") {
		s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	}
	if rest := len(s) % 4; rest > 1 && !strings.HasSuffix(s, "=") {
		s += "=="[:4-rest]
	}
	if n := len(s); n >= 4 && s[n-1] == '=' {
		// Unused bits may be set. That decodes, but not strictly.
		tail, err := base64.StdEncoding.DecodeString(s[n-4:])
		if plain := base64.StdEncoding.EncodeToString(tail); err == nil && plain != s[n-4:] {
			s = s[:n-4] + plain
		}
	}
	return s
}
