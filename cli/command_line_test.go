package cli

import (
	"strings"
	"testing"
)

func TestArgumentsLast(t *testing.T) {
	model := commandModel(t)
	const token = "-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for in, want := range map[string]string{
		"":                          "",
		"send a b --ttl 1h":         "send a b --ttl 1h",
		"send --ttl 1h a b":         "send --ttl 1h a b",
		"send a --ttl 1h b":         "send --ttl 1h -- a b",
		"send a --ttl=1h b -f c d":  "send --ttl=1h -f c -- a b d",
		"send a --json b -- --c":    "send --json -- a b --c",
		"send - --name a b":         "send --name a -- - b",
		"send a -- --ttl b":         "send a -- --ttl b",
		"send a --no-such b":        "send --no-such -- a b",
		"--sealed send a --json b":  "--sealed send --json -- a b",
		"claim " + token + " -o d":  "claim -o d -- " + token,
		"inspect --json " + token:   "inspect --json -- " + token,
		"claim " + token + "#k=b":   "claim -- " + token + "#k=b",
		"claim " + token + "%23k=b": "claim -- " + token + "%23k=b",
		"claim " + token + ".":      "claim -- " + token + ".",
		"claim " + token + "=x":     "claim " + token + "=x",
		"claim -o " + token + " x":  "claim -o " + token + " x",
		"claim -- " + token:         "claim -- " + token,
		"keys create --label a":     "keys create --label a",
		"no-such --sealed command":  "no-such --sealed command",
		"claim the url --json here": "claim --json -- the url here",
	} {
		if got := strings.Join(argumentsLast(model, strings.Fields(in)), " "); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
