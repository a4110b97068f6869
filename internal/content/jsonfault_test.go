package content

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestJSONFault(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1}`: "", " [1, 2]\r\n": "", "null": "", `"x"`: "", "1e400": "", `{"a":1,"a":2}`: "", strings.Repeat("[", 500) + strings.Repeat("]", 500): "",
		"": "is empty", " \n": "is empty",
		"\ufeff{\"a\":1}\r\n": "byte order mark", "\ufeff": "byte order mark",
		"{\"a\":1}\n{\"a\":2}\n": "more than one", "1 2": "more than one", `{"a":1} trailing`: "more than one",
		`{"a":`: "ends in the middle", `[1,2`: "ends in the middle",
		"{\n  // why\n  \"a\": 1\n}": "not strict JSON", `{"loss": NaN}`: "not strict JSON", `[1,]`: "not strict JSON", `{a:1}`: "not strict JSON", `{'a':1}`: "not strict JSON",
		"{\"a\":\"\xff\"}": "not strict JSON", `{"a":"\ud800"}`: "not strict JSON", "undefined": "not strict JSON", "[1\u00a0]": "not strict JSON",
	} {
		got, err := JSONFault(iotest.OneByteReader(strings.NewReader(in)))
		if err != nil || (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q %s, %v: want %q", in, got, err, want)
		}
	}
	broken := errors.New("broken")
	for _, begin := range []string{"", "{", `{"a":1}`} {
		if got, err := JSONFault(io.MultiReader(strings.NewReader(begin), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("%q and a fault: %q, %v", begin, got, err)
		}
	}
}
