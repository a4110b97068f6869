package atrest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"kubbi-mcp/relay/atrest"
)

var when = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

// random gives the same bytes on every run.
func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func bytesOf(seed byte, n int) []byte {
	b := make([]byte, n)
	random(seed).Read(b)
	return b
}

func newRing(t testing.TB, seed byte) *atrest.Keyring {
	t.Helper()
	r, err := atrest.NewKeyring(random(seed), when)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func keyOf(t testing.TB, r *atrest.Keyring, salt string) *atrest.Key {
	t.Helper()
	k, err := r.Key(r.Sealing(when), []byte(salt), atrest.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func bindingOf(size int) atrest.Binding {
	return atrest.Binding{KubbiID: "4946ce10-f9ee-4d6e-95ca-d7d500dd2e6a", Part: 1, Parts: 3, Size: int64(size), Name: "a.txt", ContentType: "text/plain"}
}

func seal(t testing.TB, k *atrest.Key, b atrest.Binding, plain []byte) (chunks [][]byte) {
	t.Helper()
	for c, err := range k.Seal(random(9), b, plain) {
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, bytes.Clone(c))
	}
	return chunks
}

// open opens copies of the chunks.
func open(k *atrest.Key, b atrest.Binding, chunks [][]byte) ([]byte, error) {
	o, err := k.Open(b)
	if err != nil {
		return nil, err
	}
	var plain []byte
	for _, c := range chunks {
		p, err := o.Next(bytes.Clone(c))
		if err != nil {
			return nil, err
		}
		plain = append(plain, p...)
	}
	return plain, o.Done()
}

func TestRoundTrip(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "token")
	for _, size := range []int{0, 1, 15, 16, 17, atrest.ChunkSize - 1, atrest.ChunkSize, atrest.ChunkSize + 1, 3 * atrest.ChunkSize} {
		plain := bytesOf(2, size)
		want := bytes.Clone(plain)
		chunks := seal(t, k, bindingOf(size), plain)
		if !bytes.Equal(plain, want) {
			t.Fatalf("%d bytes: Seal changed its input", size)
		}
		if n := max(1, (size+atrest.ChunkSize-1)/atrest.ChunkSize); len(chunks) != n {
			t.Fatalf("%d bytes: %d chunks, want %d", size, len(chunks), n)
		}
		for i, c := range chunks {
			if len(c) > atrest.ChunkSize+atrest.Overhead {
				t.Errorf("%d bytes: chunk %d is %d bytes long", size, i, len(c))
			}
			if size >= 16 && bytes.Contains(c, want[:16]) {
				t.Errorf("%d bytes: chunk %d holds plaintext", size, i)
			}
		}
		got, err := open(k, bindingOf(size), chunks)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: open: %v", size, err)
		}
	}
}

func TestSealRefusesWrongBinding(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "token")
	for name, b := range map[string]atrest.Binding{
		"size":     bindingOf(4),
		"part":     {Part: 1, Parts: 1, Size: 3},
		"negative": {Part: -1, Parts: 1, Size: 3},
	} {
		n := 0
		for c, err := range k.Seal(random(1), b, []byte("abc")) {
			n++
			if c != nil || err == nil {
				t.Errorf("%s: sealed", name)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d results", name, n)
		}
	}
	for _, err := range k.Seal(strings.NewReader("short"), bindingOf(3), []byte("abc")) {
		if err == nil {
			t.Error("sealed without randomness")
		}
	}
}

// TestTampering changes sealed chunks in every way a store might.
func TestTampering(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "token")
	const size = 2*atrest.ChunkSize + 100
	plain := bytesOf(3, size)
	b := bindingOf(size)
	chunks := seal(t, k, b, plain)
	var another [][]byte // sealed once more, with another prefix
	for c, err := range k.Seal(random(77), b, plain) {
		if err != nil {
			t.Fatal(err)
		}
		another = append(another, bytes.Clone(c))
	}
	if _, err := open(k, b, another); err != nil {
		t.Fatal(err)
	}
	edit := func(i int, f func([]byte) []byte) [][]byte {
		out := slices.Clone(chunks)
		out[i] = f(bytes.Clone(out[i]))
		return out
	}
	cases := map[string][][]byte{
		"none":               {},
		"dropped first":      chunks[1:],
		"dropped middle":     {chunks[0], chunks[2]},
		"dropped last":       chunks[:2],
		"reordered":          {chunks[1], chunks[0], chunks[2]},
		"doubled":            {chunks[0], chunks[0], chunks[1], chunks[2]},
		"one more":           {chunks[0], chunks[1], chunks[2], chunks[2]},
		"of another sealing": {chunks[0], another[1], chunks[2]},
		"cut":                edit(1, func(c []byte) []byte { return c[:len(c)-1] }),
		"emptied":            edit(1, func(c []byte) []byte { return nil }),
		"extended":           edit(1, func(c []byte) []byte { return append(c, 0) }),
		"last cut":           edit(2, func(c []byte) []byte { return c[:len(c)-1] }),
		"format":             edit(0, func(c []byte) []byte { c[0]++; return c }),
		"prefix":             edit(0, func(c []byte) []byte { c[1]++; return c }),
		"ciphertext":         edit(1, func(c []byte) []byte { c[500] ^= 1; return c }),
		"tag":                edit(2, func(c []byte) []byte { c[len(c)-1] ^= 0x80; return c }),
	}
	for name, c := range cases {
		if _, err := open(k, b, c); !errors.Is(err, atrest.ErrOpen) {
			t.Errorf("%s: %v, want ErrOpen", name, err)
		}
	}
}

// TestBinding opens a payload under bindings and keys that differ by one thing.
func TestBinding(t *testing.T) {
	ring := newRing(t, 1)
	k := keyOf(t, ring, "token")
	b := bindingOf(100)
	chunks := seal(t, k, b, bytesOf(3, 100))
	change := func(f func(*atrest.Binding)) atrest.Binding { c := b; f(&c); return c }
	for name, other := range map[string]atrest.Binding{
		"id":      change(func(b *atrest.Binding) { b.KubbiID = "4946ce10-f9ee-4d6e-95ca-d7d500dd2e6b" }),
		"part":    change(func(b *atrest.Binding) { b.Part = 2 }),
		"parts":   change(func(b *atrest.Binding) { b.Parts = 2 }),
		"size":    change(func(b *atrest.Binding) { b.Size = 99 }),
		"bigger":  change(func(b *atrest.Binding) { b.Size = 101 }),
		"name":    change(func(b *atrest.Binding) { b.Name = "b.txt" }),
		"type":    change(func(b *atrest.Binding) { b.ContentType = "text/html" }),
		"shifted": change(func(b *atrest.Binding) { b.Name, b.ContentType = "a.txtt", "ext/plain" }),
		"no part": change(func(b *atrest.Binding) { b.Part = 3 }),
	} {
		if _, err := open(k, other, chunks); !errors.Is(err, atrest.ErrOpen) {
			t.Errorf("another %s: %v, want ErrOpen", name, err)
		}
	}
	if _, err := open(keyOf(t, ring, "token2"), b, chunks); !errors.Is(err, atrest.ErrOpen) {
		t.Errorf("another token: %v", err)
	}
	if _, err := open(keyOf(t, newRing(t, 2), "token"), b, chunks); !errors.Is(err, atrest.ErrOpen) {
		t.Errorf("another master key: %v", err)
	}
	answer, err := ring.Key(ring.Sealing(when), []byte("token"), atrest.Answer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(answer, b, chunks); !errors.Is(err, atrest.ErrOpen) {
		t.Errorf("another purpose: %v", err)
	}
}

func TestOpenerStaysFailed(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "token")
	b := bindingOf(3)
	c := seal(t, k, b, []byte("abc"))
	o, err := k.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Done(); !errors.Is(err, atrest.ErrOpen) {
		t.Errorf("done before the first chunk: %v", err)
	}
	if _, err := o.Next([]byte("x")); !errors.Is(err, atrest.ErrOpen) {
		t.Errorf("opened garbage: %v", err)
	}
	if _, err := o.Next(c[0]); !errors.Is(err, atrest.ErrOpen) {
		t.Errorf("opened after a failure: %v", err)
	}
	if err := o.Done(); !errors.Is(err, atrest.ErrOpen) {
		t.Errorf("done after a failure: %v", err)
	}
}

func TestKeyring(t *testing.T) {
	one := newRing(t, 1)
	two, err := one.With(random(2), when.Add(time.Hour), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(one.IDs()) != 1 || len(two.IDs()) != 2 || two.Sealing(when) == one.Sealing(when) || two.IDs()[1] != two.Sealing(when) {
		t.Fatalf("ids: %v, %v, newest %s", one.IDs(), two.IDs(), two.Sealing(when))
	}
	if _, err := one.With(random(1), when, time.Time{}); err == nil {
		t.Error("the same key twice")
	}
	// What the old key sealed opens after a rotation, and not after it has gone.
	b := bindingOf(3)
	sealed := seal(t, keyOf(t, one, "token"), b, []byte("abc"))
	k, err := two.Key(one.Sealing(when), []byte("token"), atrest.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(k, b, sealed); err != nil || string(got) != "abc" {
		t.Errorf("after rotation: %q, %v", got, err)
	}
	three, err := two.Without(one.Sealing(when))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := three.Key(one.Sealing(when), []byte("token"), atrest.Payload); !errors.Is(err, atrest.ErrUnknownKey) || !strings.Contains(err.Error(), one.Sealing(when)) {
		t.Errorf("a key that has gone: %v", err)
	}
	if _, err := three.Without(two.Sealing(when)); err == nil {
		t.Error("the last key went")
	}
	if _, err := three.Without("0123456789abcdef"); !errors.Is(err, atrest.ErrUnknownKey) {
		t.Errorf("without an unknown key: %v", err)
	}
	text, err := two.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := atrest.ParseKeyring(text)
	if err != nil {
		t.Fatal(err)
	}
	text2, err := again.Encode()
	if err != nil || !bytes.Equal(text, text2) {
		t.Errorf("parse and encode: %v\n%s\n%s", err, text, text2)
	}
	if _, err := atrest.NewKeyring(strings.NewReader("short"), when); err == nil {
		t.Error("a key without randomness")
	}
}

func TestParseKeyringRefuses(t *testing.T) {
	text, err := newRing(t, 1).Encode()
	if err != nil {
		t.Fatal(err)
	}
	secret := secretOf(t, text)
	good := string(text)
	replace := func(old, new string) string {
		out := strings.Replace(good, old, new, 1)
		if out == good {
			t.Fatalf("%q is not in the keyring", old)
		}
		return out
	}
	other := base64.StdEncoding.EncodeToString(bytesOf(5, 32))
	id := newRing(t, 1).Sealing(when)
	key := fmt.Sprintf(`{"id":%q,"created_at":"2026-03-28T12:00:00Z","secret":%q}`, id, secret)
	for want, in := range map[string]string{
		"not valid JSON":            "{" + good,
		"data after":                good + "{}",
		"version 2":                 replace(`"version": 1`, `"version": 2`),
		"no keys":                   `{"version":1,"keys":[]}`,
		"does not belong":           replace(secret, other),
		"not 32 bytes long":         replace(secret, secret[:8]),
		"there twice":               `{"version":1,"keys":[` + key + "," + key + `]}`,
		"keyring is not valid JSON": replace(`"`+secret, secret),
		"version 0":                 "{}",
	} {
		_, err := atrest.ParseKeyring([]byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if err != nil && (strings.Contains(err.Error(), secret[:8]) || strings.Contains(err.Error(), other)) {
			t.Errorf("%v quotes a secret", err)
		}
	}
}

func secretOf(t *testing.T, text []byte) string {
	t.Helper()
	var f struct{ Keys []struct{ Secret string } }
	if err := json.Unmarshal(text, &f); err != nil || len(f.Keys) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return f.Keys[0].Secret
}

// TestNothingShowsSecrets prints keys and errors in every way at hand.
func TestNothingShowsSecrets(t *testing.T) {
	ring := newRing(t, 1)
	text, err := ring.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b64 := secretOf(t, text)
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		t.Fatal(err)
	}
	key := keyOf(t, ring, "token")
	var logged bytes.Buffer
	for _, h := range []slog.Handler{
		slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil),
	} {
		slog.New(h).Info("x", "ring", ring, "copy", *ring, "key", key, "copied", *key)
	}
	for _, v := range []any{ring, *ring, key, *key, struct{ R *atrest.Keyring }{ring}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&logged, verb, v)
		}
	}
	j, err := json.Marshal(map[string]any{"ring": ring, "copy": *ring, "key": key})
	if err != nil {
		t.Fatal(err)
	}
	logged.Write(j)
	out := logged.String()
	if !strings.Contains(out, ring.Sealing(when)) {
		t.Error("the key's id is not shown")
	}
	for name, secret := range map[string]string{
		"base64": b64, "hex": hex.EncodeToString(raw), "raw": string(raw), "decimal": strings.Trim(fmt.Sprint(raw), "[]"),
		"go": strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", raw[:8]), "[]byte{"), "}"),
	} {
		if strings.Contains(out, secret) {
			t.Errorf("output holds the secret as %s", name)
		}
	}
}

// TestSealReader says that a plaintext that is read is sealed as one in memory,
// and that one that is too short is not sealed to its end.
func TestSealReader(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "salt")
	for _, size := range []int{0, 1, atrest.ChunkSize, atrest.ChunkSize + 1, 2*atrest.ChunkSize + 7} {
		plain, b := bytesOf(2, size), bindingOf(size)
		var got [][]byte
		for c, err := range k.SealReader(random(9), b, iotest.HalfReader(bytes.NewReader(plain))) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, bytes.Clone(c))
		}
		if !slices.EqualFunc(got, seal(t, k, b, plain), bytes.Equal) {
			t.Errorf("%d bytes are sealed to something else", size)
		}
		var last error
		for _, err := range k.SealReader(random(9), bindingOf(size+1), bytes.NewReader(plain)) {
			last = err
		}
		if last == nil {
			t.Errorf("%d bytes are sealed as one more", size)
		}
	}
}
