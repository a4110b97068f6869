package atrest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"kubbi-mcp/internal/atrest"
)

var when = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

// random returns the same bytes on every run.
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

var secret = bytesOf(200, 32)

func keyOf(t testing.TB, r *atrest.Keyring, salt string) *atrest.Key {
	t.Helper()
	return purposeKey(t, r, r.Sealing(when), secret, salt, atrest.Payload)
}

func purposeKey(t testing.TB, r *atrest.Keyring, id string, secret []byte, salt string, p atrest.Purpose) *atrest.Key {
	t.Helper()
	k, err := r.Key(id, secret, p, []byte(salt))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func bindingOf(size int) atrest.Binding {
	return atrest.Binding{Size: int64(size), Data: []byte("record")}
}

func seal(t testing.TB, k *atrest.Key, b atrest.Binding, plain []byte) []byte {
	t.Helper()
	s, err := k.Seal(random(9), b, bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// open opens sealed bytes, and returns nothing unless they open to their end.
func open(k *atrest.Key, b atrest.Binding, sealed []byte) ([]byte, error) {
	o, err := k.Open(b, bytes.NewReader(sealed))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(o)
	if err != nil {
		return nil, err
	}
	return plain, o.Done()
}

// chunksOf cuts sealed bytes at the borders of their chunks.
func chunksOf(sealed []byte) (chunks [][]byte) {
	n := atrest.ChunkSize + 8 + 16
	for len(sealed) > n {
		chunks = append(chunks, sealed[:n])
		sealed = sealed[n:]
		n = atrest.ChunkSize + 16
	}
	return append(chunks, sealed)
}

var sizes = []int{0, 1, 15, 16, 17, atrest.ChunkSize - 1, atrest.ChunkSize, atrest.ChunkSize + 1, 3 * atrest.ChunkSize}

func TestRoundTrip(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "token")
	for _, size := range sizes {
		plain := bytesOf(2, size)
		want := bytes.Clone(plain)
		sealed := seal(t, k, bindingOf(size), plain)
		if !bytes.Equal(plain, want) {
			t.Fatalf("%d bytes: Seal changed its input", size)
		}
		if n := atrest.SealedSize(int64(size)); n != int64(len(sealed)) {
			t.Fatalf("%d bytes: sealed to %d, said to be %d", size, len(sealed), n)
		}
		if n := max(1, (size+atrest.ChunkSize-1)/atrest.ChunkSize); len(chunksOf(sealed)) != n {
			t.Fatalf("%d bytes: %d chunks, want %d", size, len(chunksOf(sealed)), n)
		}
		if size >= 16 && bytes.Contains(sealed, want[:16]) {
			t.Errorf("%d bytes: the plaintext stands there", size)
		}
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(sealed), "by halves": iotest.HalfReader(bytes.NewReader(sealed)), "with its end": iotest.DataErrReader(bytes.NewReader(sealed)),
		} {
			o, err := k.Open(bindingOf(size), r)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, want) || o.Done() != nil {
				t.Errorf("%d bytes, %s: open: %v", size, name, err)
			}
		}
		whole, err := k.SealBytes(random(9), []byte("record"), plain)
		if err != nil || !bytes.Equal(whole, sealed) {
			t.Errorf("%d bytes: SealBytes gives something else: %v", size, err)
		}
		if got, err := k.OpenBytes([]byte("record"), whole); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: OpenBytes: %v", size, err)
		}
		if _, err := k.OpenBytes([]byte("record"), whole[:len(whole)-1]); !errors.Is(err, atrest.ErrOpen) {
			t.Errorf("%d bytes: OpenBytes opens what was cut: %v", size, err)
		}
		var written bytes.Buffer
		s, err := k.Seal(random(9), bindingOf(size), iotest.OneByteReader(bytes.NewReader(plain)))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(&written, s); err != nil || n != int64(len(sealed)) || !bytes.Equal(written.Bytes(), sealed) {
			t.Errorf("%d bytes: io.Copy gives something else: %v", size, err)
		}
	}
}

// TestSealRefuses checks that a plaintext is never sealed to its end if it does not fit its
// binding or ends with an error.
func TestSealRefuses(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "token")
	boom := errors.New("boom")
	for _, size := range sizes {
		whole, err := io.ReadAll(mustSeal(t, k, size, bytes.NewReader(bytesOf(2, size))))
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			plain io.Reader
			want  error // nil: any
		}{
			"longer":         {bytes.NewReader(bytesOf(2, size+1)), nil},
			"an error ahead": {iotest.ErrReader(boom), boom},
			"an error after": {io.MultiReader(bytes.NewReader(bytesOf(2, size)), iotest.ErrReader(boom)), boom},
			"shorter":        {bytes.NewReader(bytesOf(2, max(0, size-1))), io.ErrUnexpectedEOF},
		} {
			if name == "shorter" && size == 0 {
				continue
			}
			s := mustSeal(t, k, size, tc.plain)
			got, err := io.ReadAll(s)
			if err == nil || tc.want != nil && err != tc.want || len(got) >= len(whole) {
				t.Errorf("%d bytes, %s: %v, and %d of %d bytes", size, name, err, len(got), len(whole))
			}
			if _, again := s.Read(make([]byte, 1)); again != err {
				t.Errorf("%d bytes, %s: then %v", size, name, again)
			}
		}
	}
	if _, err := k.Seal(random(1), atrest.Binding{Size: -1}, bytes.NewReader(nil)); err == nil {
		t.Error("sealed less than nothing")
	}
	if _, err := k.Seal(strings.NewReader("short"), bindingOf(3), strings.NewReader("abc")); err == nil {
		t.Error("sealed without randomness")
	}
}

func mustSeal(t *testing.T, k *atrest.Key, size int, plain io.Reader) *atrest.Sealer {
	t.Helper()
	s, err := k.Seal(random(9), bindingOf(size), plain)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTampering changes sealed chunks in all ways.
func TestTampering(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "token")
	const size = 2*atrest.ChunkSize + 100
	plain := bytesOf(3, size)
	b := bindingOf(size)
	chunks := chunksOf(seal(t, k, b, plain))
	s, err := k.Seal(random(77), b, bytes.NewReader(plain)) // once more, with another prefix
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	another := chunksOf(sealed)
	if _, err := open(k, b, sealed); err != nil {
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
		"last extended":      edit(2, func(c []byte) []byte { return append(c, 0) }),
		"format":             edit(0, func(c []byte) []byte { c[0]++; return c }),
		"prefix":             edit(0, func(c []byte) []byte { c[1]++; return c }),
		"ciphertext":         edit(1, func(c []byte) []byte { c[500] ^= 1; return c }),
		"tag":                edit(2, func(c []byte) []byte { c[len(c)-1] ^= 0x80; return c }),
	}
	for name, c := range cases {
		if _, err := open(k, b, bytes.Join(c, nil)); !errors.Is(err, atrest.ErrOpen) {
			t.Errorf("%s: %v, want ErrOpen", name, err)
		}
	}
}

// TestBinding opens a payload under bindings and keys that differ in one thing.
func TestBinding(t *testing.T) {
	ring := newRing(t, 1)
	id := ring.Sealing(when)
	k := keyOf(t, ring, "token")
	b := bindingOf(100)
	sealed := seal(t, k, b, bytesOf(3, 100))
	for name, other := range map[string]atrest.Binding{
		"smaller":     {Size: 99, Data: b.Data},
		"bigger":      {Size: 101, Data: b.Data},
		"less than 0": {Size: -1, Data: b.Data},
		"data":        {Size: 100, Data: []byte("recorD")},
		"more data":   {Size: 100, Data: []byte("record ")},
		"no data":     {Size: 100},
	} {
		if _, err := open(k, other, sealed); !errors.Is(err, atrest.ErrOpen) {
			t.Errorf("%s: %v, want ErrOpen", name, err)
		}
	}
	other := bytes.Clone(secret)
	other[31] ^= 1
	for name, k := range map[string]*atrest.Key{
		"token":      keyOf(t, ring, "token2"),
		"master key": keyOf(t, newRing(t, 2), "token"),
		"secret":     purposeKey(t, ring, id, other, "token", atrest.Payload),
		"no secret":  purposeKey(t, ring, id, nil, "token", atrest.Payload),
		"wiped":      purposeKey(t, ring, id, make([]byte, 32), "token", atrest.Payload),
		"purpose":    purposeKey(t, ring, id, secret, "token", atrest.Answer),
	} {
		if _, err := open(k, b, sealed); !errors.Is(err, atrest.ErrOpen) {
			t.Errorf("another %s: %v, want ErrOpen", name, err)
		}
	}
}

// TestOpenerStaysFailed checks that nothing opens after an error, and that an error of
// the store differs from one of the sealed bytes.
func TestOpenerStaysFailed(t *testing.T) {
	k := keyOf(t, newRing(t, 1), "token")
	boom := errors.New("boom")
	size := atrest.ChunkSize + 3
	sealed := seal(t, k, bindingOf(size), bytesOf(2, size))
	for _, at := range []int{0, 5, atrest.ChunkSize, atrest.ChunkSize + 40, len(sealed)} {
		o, err := k.Open(bindingOf(size), io.MultiReader(bytes.NewReader(sealed[:at]), iotest.ErrReader(boom), bytes.NewReader(sealed[at:])))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o)
		if err != boom || len(got) >= size {
			t.Errorf("at %d: %d bytes, %v", at, len(got), err)
		}
		if _, err := o.Next(1); err != boom {
			t.Errorf("at %d: then %v", at, err)
		}
		if err := o.Done(); err != boom {
			t.Errorf("at %d: done is %v", at, err)
		}
	}
	o, err := k.Open(bindingOf(size), bytes.NewReader(sealed))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Done(); !errors.Is(err, atrest.ErrOpen) {
		t.Errorf("done before its end: %v", err)
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
	// Bytes sealed by the old key open after a rotation, but not after its removal.
	b := bindingOf(3)
	sealed := seal(t, keyOf(t, one, "token"), b, []byte("abc"))
	if got, err := open(purposeKey(t, two, one.Sealing(when), secret, "token", atrest.Payload), b, sealed); err != nil || string(got) != "abc" {
		t.Errorf("after rotation: %q, %v", got, err)
	}
	three, err := two.Without(one.Sealing(when))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := three.Key(one.Sealing(when), secret, atrest.Record, nil); !errors.Is(err, atrest.ErrUnknownKey) || !strings.Contains(err.Error(), one.Sealing(when)) {
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

// TestNothingShowsSecrets prints keys and errors in all ways.
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
