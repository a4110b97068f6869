package scrub

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf16"
)

// minLine is the length in bytes of the shortest line of a longer value that is
// replaced by itself.
const minLine = 8

// forms gives a value in each form that is replaced, of which some may be shorter than
// MinLength. A value that is shorter has none.
func forms(value []byte) (all [][]byte) {
	if len(value) < MinLength {
		return nil
	}
	add := func(text string) { all = append(all, []byte(text)) }
	parts := [][]byte{value}
	if trimmed := bytes.TrimRight(value, "\r\n"); len(trimmed) < len(value) && len(trimmed) >= MinLength {
		parts = append(parts, trimmed)
	}
	for line := range bytes.Lines(value) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) >= minLine && len(line) < len(value) {
			parts = append(parts, line)
		}
	}
	for _, part := range parts {
		text := string(part)
		add(text)
		for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text), percent(text)} {
			add(escaped)
			add(lowerPercent(escaped))
		}
		add(hex.EncodeToString(part))
		add(strings.ToUpper(hex.EncodeToString(part)))
		for _, escaped := range inJSON(text) {
			add(escaped)
			add(strings.ReplaceAll(escaped, "/", `\/`))
		}
		all = append(all, inBase64(part)...)
	}
	return all
}

// percent escapes all but the unreserved characters of RFC 3986.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// lowerPercent writes the digits of percent escapes in lower case.
func lowerPercent(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

// inJSON gives a text as it stands between the quotes of a JSON string: with and
// without the escapes for HTML, and in ASCII alone.
func inJSON(s string) []string {
	var all []string
	for _, html := range []bool{true, false} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if e.Encode(s) == nil {
			inner := strings.TrimSuffix(b.String(), "\n")
			all = append(all, inner[1:len(inner)-1])
		}
	}
	var ascii strings.Builder
	for _, r := range all[1] {
		switch {
		case r < 0x80:
			ascii.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&ascii, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&ascii, `\u%04x\u%04x`, high, low)
		}
	}
	return append(all, ascii.String())
}

// inBase64 gives the characters that a value has in base64, wherever in the encoded
// bytes it begins and ends, in both alphabets. A value that begins the encoded bytes
// and fills more than one line of 64 or 76 characters comes in lines, too.
func inBase64(value []byte) (all [][]byte) {
	for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for before := range 3 {
			encoded := alphabet.EncodeToString(append(make([]byte, before), value...))
			from := (before*8 + 5) / 6          // characters with bits of what is before
			to := (before + len(value)) * 8 / 6 // and of what comes after
			unpadded := strings.TrimRight(encoded, "=")
			all = append(all, []byte(encoded[from:to]), []byte(unpadded[from:]), []byte(encoded[from:]))
			for _, width := range []int{64, 76} {
				for i := 0; before == 0 && len(encoded) > width && i < len(encoded); i += width {
					if line := encoded[i:min(i+width, len(encoded))]; len(line) >= minLine {
						all = append(all, []byte(line), []byte(strings.TrimRight(line, "=")))
					}
				}
			}
		}
	}
	return all
}
