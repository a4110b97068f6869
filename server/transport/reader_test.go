package transport

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLineReader(t *testing.T) {
	const max = 300_000
	var in strings.Builder
	var want []int // a line's length, or minus it if it is too long
	for _, n := range []int{0, 1, 5, readBuffer - 1, readBuffer, readBuffer + 1, 2*readBuffer - 1, 2 * readBuffer, 3*readBuffer + 7,
		max - 1, max, max + 1, max + 2, 3 * max, 2} {
		in.WriteString(strings.Repeat("a", n) + "\n")
		if n > max {
			n = -n
		}
		want = append(want, n)
	}
	in.WriteString("last")
	want = append(want, 4)
	for name, r := range map[string]io.Reader{
		"whole":     strings.NewReader(in.String()),
		"halves":    iotest.HalfReader(strings.NewReader(in.String())),
		"data, EOF": iotest.DataErrReader(strings.NewReader(in.String())),
	} {
		t.Run(name, func(t *testing.T) {
			lines := newLineReader(r, max)
			for i, n := range want {
				got, err := lines.next()
				if err != nil {
					t.Fatalf("line %d: %v", i, err)
				}
				switch {
				case n < 0 && !got.tooLong:
					t.Errorf("line %d of %d bytes is not too long", i, -n)
				case n < 0 && (len(got.head) != keptEnds || len(got.tail) != keptEnds && len(got.tail) != keptEnds-1):
					t.Errorf("line %d: kept %d and %d bytes", i, len(got.head), len(got.tail))
				case n >= 0 && (got.tooLong || len(got.line) != n || bytes.Contains(got.line, []byte("\n"))):
					t.Errorf("line %d: got %d bytes, too long %v; want %d", i, len(got.line), got.tooLong, n)
				}
			}
			if _, err := lines.next(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

// TestLineReaderKeepsNothing checks that a line is not overwritten by the next.
func TestLineReaderKeepsNothing(t *testing.T) {
	lines := newLineReader(strings.NewReader("first\nother\n"), 100)
	first, err := lines.next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lines.next(); err != nil {
		t.Fatal(err)
	}
	if string(first.line) != "first" {
		t.Errorf("the first line has become %q", first.line)
	}
}

func TestLineReaderFails(t *testing.T) {
	for _, n := range []int{3, readBuffer + 3, 500_000} {
		r := io.MultiReader(strings.NewReader(strings.Repeat("a", n)), iotest.ErrReader(iotest.ErrTimeout))
		if _, err := newLineReader(r, 300_000).next(); err != iotest.ErrTimeout {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestFindID(t *testing.T) {
	for _, tt := range []struct{ head, tail, want string }{
		{`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"na`, `aaa"}}}`, `7`},
		{`{"jsonrpc":"2.0","id":"a b","meth`, `aaa"}}}`, `"a b"`},
		{`{"method":"tools/call","params":{"arguments":{"content":"aaa`, `aaa"}},"jsonrpc":"2.0","id":12345678901234567890}`, `12345678901234567890`},
		{`{"method":"tools/call","params":{"arguments":{"content":"aaa`, `aaa"}} , "id" : "x" } ` + "\r", `"x"`},
		{`{"method":"tools/call","params":{"arguments":{"content":"aaa`, `aaa","id":5}}}`, ``}, // inside the params
		{`{"method":"tools/call","params":{"arguments":{"content":"aaa`, `aaa,"id":{"a":1}}`, ``},
		{`{"id":null,"params":{"arguments":{"content":"aaa`, `aaa"}}}`, ``},
		{`{"id":{"a":1},"params":"aa`, `aaa"}`, ``},
		{`[{"id":1`, `aaa"}]`, ``},
		{`aaaa`, `aaaa`, ``},
		{``, ``, ``},
	} {
		if got := string(findID([]byte(tt.head), []byte(tt.tail))); got != tt.want {
			t.Errorf("findID(%q, %q) = %q, want %q", tt.head, tt.tail, got, tt.want)
		}
	}
}
