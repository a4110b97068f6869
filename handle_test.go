//go:build unix

package main

import (
	"strings"
	"testing"
)

// TestHandleOnTerminal prints a claim URL on a terminal, where no agent reads it.
func TestHandleOnTerminal(t *testing.T) {
	id := strings.TrimSpace(run(t, "on a terminal", "send", "--handle"))
	x := onTerminal(t, wide, binary(t), "handle", id)
	claimURL := x.await(`http://127\.0\.0\.1:7117/r/[-_A-Za-z0-9]{43}`)[0]
	x.exits(0)
	if got := run(t, "", "claim", claimURL); got != "on a terminal" {
		t.Errorf("claimed %q with what is shown: %q", got, x.screen())
	}
	x = onTerminal(t, wide, binary(t), "handle", "00000000-0000-4000-8000-000000000000")
	x.await(`no claim URL is kept for this id`)
	x.exits(3)
}
