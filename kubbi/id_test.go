package kubbi

import (
	"errors"
	"strings"
	"testing"
)

func TestParseID(t *testing.T) {
	const id = "00000000-0000-4000-8000-00000000000a"
	for _, in := range []string{id, "kubbi://" + id, "KUBBI://" + strings.ToUpper(id), " <kubbi://" + id + "> ", `"` + id + `"`, "kubbi://" + id + "/"} {
		if got, err := ParseID(in); err != nil || got != id {
			t.Errorf("%q gives %q, %v", in, got, err)
		}
	}
	for in, says := range map[string]string{
		testURL: "claim URL", testURL + ".": "claim URL", testToken: "claim URL", "see " + testURL: "claim URL",
		"": "UUID", "x": "UUID", "kubbi://": "UUID", "kubbi://x": "UUID", id + "0": "UUID", "https://api.kubbi.ai/" + id: "UUID", "{" + id + "}": "UUID", "urn:uuid:" + id: "UUID",
	} {
		if got, err := ParseID(in); err == nil || !errors.Is(err, ErrValidation) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q gives %q, %v; want an error that says %q", in, got, err, says)
		}
	}
}
