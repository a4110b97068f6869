package cli

import (
	"errors"
	"strings"
	"testing"
)

// TestHiddenText types at a terminal in raw mode, all at once and byte by byte.
func TestHiddenText(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		name, typed, want string
		err               error
	}{
		{"return", "secret\r", "secret", nil},
		{"line feed", "secret\n", "secret", nil},
		{"both", "secret\r\n", "secret", nil},
		{"end of input behind it", "secret\n\x04", "secret", nil},
		{"end of input before raw mode", "secret\n\x00", "secret", nil},
		{"end of input instead", "secret\x04", "secret", nil},
		{"spaces stay", " a secret \t\r", " a secret \t", nil},
		{"letters of any script", "čtyři 🐎\r", "čtyři 🐎", nil},
		{"longer than a terminal's own line", long + "\r", long, nil},
		{"backspace", "ab\x7fc\x08d\r", "ad", nil},
		{"backspace over a character", "až🐎\x7f\x7fb\r", "ab", nil},
		{"backspace at the beginning", "\x7fa\r", "a", nil},
		{"ctrl-u", "wrong\x15right\r", "right", nil},
		{"pasted", "\x1b[200~secret\x1b[201~\r", "secret", nil},
		{"pasted with a line end", "\x1b[200~secret\r\x1b[201~\r", "secret", nil},
		{"pasted lines", "\x1b[200~-- BEGIN --\rabc\r\n-- END --\n\x1b[201~\r", "-- BEGIN --\nabc\n-- END --\n", nil},
		{"typed around", "a\x1b[200~b\x1b[201~c\r", "abc", nil},
		{"nothing", "\r", "", errPromptEmpty},
		{"nothing, end of input", "\x04", "", errPromptEmpty},
		{"nothing pasted", "\x1b[200~\r\x1b[201~\r", "", errPromptEmpty},
		{"lines without marks", "one\rtwo\r", "", errPromptLines},
		{"lines without marks, not ended", "one\ntwo", "", errPromptLines},
		{"arrow", "ab\x1b[Dc\r", "", errPromptControl},
		{"escape", "ab\x1bc\r", "", errPromptControl},
		{"ctrl-z", "ab\x1a\r", "", errPromptControl},
		{"ctrl-c pasted", "\x1b[200~a\x03\x1b[201~\r", "", errPromptControl},
	} {
		for _, step := range []int{1, len(c.typed)} {
			var h hiddenText
			var err error
			for i := 0; i < len(c.typed) && err == nil; i += step {
				err = h.add([]byte(c.typed[i : i+step]))
			}
			var got []byte
			if err == nil && !h.ended {
				t.Errorf("%s: not ended", c.name)
			}
			if err == nil {
				got, err = h.result()
			}
			if !errors.Is(err, c.err) || string(got) != c.want {
				t.Errorf("%s, %d bytes at a time: %.40q, %v", c.name, step, got, err)
			}
		}
	}
	for _, key := range []string{"\x03", "\x1c"} {
		var h hiddenText
		err := h.add([]byte("secret" + key))
		if ExitCode(err) != exitInterrupted || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", key, err)
		}
	}
}
