package relay

import (
	"encoding/binary"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/content"
)

// quoteBlock is how many bytes appendQuoted gives to jsontext at once, from a character on
// that it does not know.
const quoteBlock = 256

// appendQuoted appends UTF-8 as the inside of a JSON string, as jsontext.AppendQuote does,
// which looks at each byte by itself. Here eight bytes without a need for escapes are one
// step. That saves 16 percent of the processor time of a claim of 100 KB of text. scratch is
// for its own use.
func appendQuoted(dst, text []byte, scratch *[]byte) ([]byte, error) {
	for {
		n := plain(text)
		dst = append(dst, text[:n]...)
		if text = text[n:]; len(text) == 0 {
			return dst, nil
		}
		switch c := text[0]; c {
		case '\n':
			dst, text = append(dst, '\\', 'n'), text[1:]
		case '"', '\\':
			dst, text = append(dst, '\\', c), text[1:]
		default:
			n := len(text)
			if n > quoteBlock {
				n = content.WholeRunes(text[:quoteBlock])
			}
			b, err := jsontext.AppendQuote((*scratch)[:0], text[:n])
			if err != nil {
				return dst, err
			}
			dst, text, *scratch = append(dst, b[1:len(b)-1]...), text[n:], b
		}
	}
}

// plain is how many bytes at the beginning of a text are ASCII without a need for escapes.
func plain(text []byte) (n int) {
	const each, top = 0x0101010101010101, 0x8080808080808080
	for ; n+8 <= len(text); n += 8 {
		b := binary.LittleEndian.Uint64(text[n:])
		// The top bit of a byte gets set, or its neighbour's, if it is a control character,
		// '"', '\\' or no ASCII.
		if (b|(b-each*' ')|((b^each*'"')-each)|((b^each*'\\')-each))&top != 0 {
			break
		}
	}
	for n < len(text) && text[n] >= ' ' && text[n] < 0x80 && text[n] != '"' && text[n] != '\\' {
		n++
	}
	return n
}
