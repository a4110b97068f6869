package atrest_test

import (
	"bytes"
	"errors"
	"testing"

	"kubbi-mcp/internal/atrest"
)

// FuzzOpen opens sealed bytes that were flipped, cut, extended or made up. Only unchanged
// bytes may open, and no error may reveal the input.
func FuzzOpen(f *testing.F) {
	key := keyOf(f, newRing(f, 1), "token")
	plain := []byte("the quick brown fox jumps over the lazy dog")
	b := bindingOf(len(plain))
	good := seal(f, key, b, plain)
	f.Add(good, uint16(0), byte(0))
	f.Add(good, uint16(9), byte(1))
	f.Add(good, uint16(3), byte(1))
	f.Add(good, uint16(len(good)-1), byte(0x80))
	f.Add(good[:20], uint16(3), byte(0x80))
	f.Add(good[:len(good)-1], uint16(0), byte(0))
	f.Add(good[:8], uint16(0), byte(0))
	f.Add(append(bytes.Clone(good), 0), uint16(0), byte(0))
	f.Add(make([]byte, len(good)), uint16(0), byte(0))
	f.Add([]byte{}, uint16(0), byte(0))
	f.Add(append(bytes.Clone(good), good...), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, in []byte, at uint16, flip byte) {
		in = bytes.Clone(in)
		if len(in) > 0 {
			in[int(at)%len(in)] ^= flip
		}
		was := bytes.Clone(in)
		got, err := open(key, b, in)
		atOnce, err2 := key.OpenBytes(b.Data, in)
		if (err2 == nil) != (err == nil) || !bytes.Equal(atOnce, got) {
			t.Fatalf("%x opens at once, or as it is read: %v, %v", in, err2, err)
		}
		if bytes.Equal(in, good) {
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("what was sealed does not open: %v", err)
			}
			return
		}
		if !errors.Is(err, atrest.ErrOpen) || got != nil {
			t.Fatalf("%x opened: %v", was, err)
		}
		if err.Error() != atrest.ErrOpen.Error() {
			t.Fatalf("error tells more than that it does not open: %v", err)
		}
	})
}

// FuzzParseKeyring parses any bytes as a keyring: it must not panic, and an accepted
// keyring must encode to the same.
func FuzzParseKeyring(f *testing.F) {
	good, err := newRing(f, 1).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"keys":[{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := atrest.ParseKeyring(in)
		if err != nil {
			return
		}
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := atrest.ParseKeyring(text)
		if err != nil || again.String() != r.String() {
			t.Fatalf("%v: %v, want %v", err, again, r)
		}
	})
}
