package kubbi

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// sealWith seals with a header that is always the same, as in every process of the
// fuzzer.
func sealWith(t testing.TB, key *sealKey, plain []byte) []byte {
	t.Helper()
	s := &sealing{header: [sealHeaderLen]byte{sealHeaderLen, 1, 2, 3}}
	var err error
	if s.segments, err = key.segments(&s.header, int64(len(plain))); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(s.open(io.NopCloser(bytes.NewReader(plain))))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzOpenSealed: only what was sealed with the key opens with it, and opens to the
// same; and whatever somebody with the key has sealed, no input makes the opener
// panic, and all its ways of opening agree.
func FuzzOpenSealed(f *testing.F) {
	key := testKey(1)
	m, err := key.mark(nil, false)
	if err != nil {
		f.Fatal(err)
	}
	ours := map[string]string{}
	seeds := []string{
		`{"content_type":"text/plain","content_bytes":5,"metadata":` + string(m.Value) + "}\nhello",
		`{"content_type":"application/json","content_bytes":2,"metadata":` + string(m.Value) + "}\n{}",
		`{"files":[{"name":"a","content_type":"a/b","size_bytes":2,"role":"data"},{"name":"b.txt","content_type":"text/plain","size_bytes":3,"encoding":"base64"}],"metadata":` + string(m.Value) + "}\nhello",
		`{"files":[],"metadata":{}}` + "\n", "\n", "",
	}
	for i, plain := range seeds {
		sealed := sealWith(f, key, []byte(plain))
		ours[string(sealed)] = plain
		f.Add([]byte(plain), sealed, i, byte(0))
		f.Add([]byte(plain), sealed, 40, byte(1))
		f.Add([]byte(plain), sealed, len(sealed)-1, byte(0x80))
	}
	f.Fuzz(func(t *testing.T, plain, sealed []byte, at int, flip byte) {
		// Somebody with the key may seal anything.
		if err := openBoth(t, key, answerOf(key, sealWith(t, key, plain), m.Value)); err != nil && !errors.Is(err, ErrSealed) {
			t.Fatalf("error is %v", err)
		}
		// Nobody without it may.
		if sealed = bytes.Clone(sealed); len(sealed) > 0 && at >= 0 {
			sealed[at%len(sealed)] ^= flip
		}
		got, err := unstreamed(key, sealed)
		want, known := ours[string(sealed)]
		switch {
		case known && (err != nil || string(got) != want):
			t.Fatalf("what was sealed opens to %q: %v", got, err)
		case !known && err == nil:
			t.Fatalf("%x opens, and nobody sealed it", sealed)
		case err != nil && !errors.Is(err, errSealForm) && !errors.Is(err, errSealForged):
			t.Fatalf("error is %v", err)
		}
	})
}
