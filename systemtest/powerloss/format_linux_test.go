package powerloss_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/atrest"
)

// TestAttackerKnowsTheFormat lets the attacker open what internal/atrest sealed: what
// the attacker cannot open there, it would miss elsewhere.
func TestAttackerKnowsTheFormat(t *testing.T) {
	t.Parallel()
	ring, err := atrest.NewKeyring(rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := ring.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		size     int
		numbered bool // the slots say whose they are
	}{
		"small":             {100, true},
		"at the border":     {atrest.ChunkSize, true},
		"over the border":   {atrest.ChunkSize + 1, true},
		"slots of secrets":  {100, false},
		"large, unnumbered": {3 * atrest.ChunkSize, false},
	} {
		t.Run(name, func(t *testing.T) {
			token, secret := random(t, 32), random(t, 32)
			r := &record{seed: binary.LittleEndian.Uint64(token), size: test.size, token: base64.RawURLEncoding.EncodeToString(token)}
			key, err := ring.Key(ring.IDs()[0], secret, atrest.Payload, token)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := key.SealBytes(rand.Reader, []byte("whatever it is bound to"), []byte(r.content()))
			if err != nil {
				t.Fatal(err)
			}
			first := files{"keyring.json": encoded, "slots": random(t, 40_000)}
			a, err := newAttacker(first)
			if err != nil {
				t.Fatal(err)
			}
			if opened := a.try(first, []*record{r}); len(opened) > 0 {
				t.Error("it opens before it is there")
			}
			live := files{"keyring.json": encoded, "slots": slices.Clone(first["slots"])}
			live["store.db"] = slices.Concat(random(t, 12_345), sealed, random(t, 5000))
			copy(live["slots"][4008:], secret)
			if test.numbered {
				copy(live["slots"][4000:], token[:8])
			}
			if opened := a.try(live, []*record{r}); len(opened) != 1 {
				t.Fatal("it does not open")
			}
			if found := a.find(live, []*record{r}); len(found) != 1 || found[0].what != itsSecret || found[0].file != "slots" {
				t.Errorf("found %v", found)
			}
			if !a.force(live, r) {
				t.Error("no secret opens it")
			}
			live["slots"] = first["slots"]
			if found := a.find(live, []*record{r}); len(found) > 0 || a.force(live, r) {
				t.Errorf("it opens without its secret: %v", found)
			}
			live["leak"] = slices.Concat([]byte("abc"), secret, []byte(strings.Repeat(noteMarker, 2)), []byte(r.content()))
			if found := a.find(live, []*record{r}); len(found) != 4 {
				t.Errorf("of a secret, two notes and a payload it finds %v", found)
			}
		})
	}
}

func random(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	if bytes.Count(b, []byte{0}) > n/8+8 {
		t.Fatal("not random")
	}
	return b
}
