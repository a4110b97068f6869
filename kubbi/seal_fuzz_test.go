package kubbi

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

// sealWith seals with a fixed header, so that all processes of the fuzzer agree.
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

// FuzzOpenSealed: a ciphertext that was not made with the key does not open, and one that
// was gives its plaintext. Nothing that somebody with the key seals makes the opener panic,
// and all ways of opening agree.
func FuzzOpenSealed(f *testing.F) {
	key := testKey(1)
	m, err := key.addSeal(nil, false)
	if err != nil {
		f.Fatal(err)
	}
	plain := []string{
		`{"content_type":"text/plain","content_bytes":5,"metadata":` + string(m) + "}\nhello",
		`{"content_type":"application/json","content_bytes":2,"metadata":` + string(m) + "}\n{}",
		`{"files":[{"name":"a","content_type":"a/b","size_bytes":2,"role":"data"},{"name":"b.txt","content_type":"text/plain","size_bytes":3,"encoding":"base64"}],"metadata":` + string(m) + "}\nhello",
		`{"files":[],"metadata":{}}` + "\n", "\n", "",
	}
	var sealed []string
	for _, text := range plain {
		sealed = append(sealed, string(sealWith(f, key, []byte(text))))
	}
	for i, text := range plain {
		f.Add(text, i, byte(0))
		f.Add(sealed[i], i+40*len(plain), byte(1))
		f.Add(sealed[i], i+(len(sealed[i])-1)*len(plain), byte(0x80))
	}
	f.Fuzz(func(t *testing.T, text string, at int, flip byte) {
		// Somebody with the key may seal anything.
		if err := openBoth(t, key, answerOf(key, sealWith(t, key, []byte(text)), m)); err != nil && !errors.Is(err, ErrSealed) {
			t.Fatalf("error is %v", err)
		}
		// Nobody without it may: neither make a ciphertext nor change one of ours.
		inputs := []string{text}
		if at >= 0 {
			ours := []byte(sealed[at%len(sealed)])
			ours[at/len(sealed)%len(ours)] ^= flip
			inputs = append(inputs, string(ours))
		}
		for _, input := range inputs {
			got, err := unstreamed(key, []byte(input))
			switch known := slices.Index(sealed, input); {
			case known >= 0 && (err != nil || string(got) != plain[known]):
				t.Fatalf("what was sealed opens to %q: %v", got, err)
			case known < 0 && err == nil:
				t.Fatalf("%x opens, and nobody sealed it", input)
			case err != nil && !errors.Is(err, errSealForm) && !errors.Is(err, errSealForged):
				t.Fatalf("error is %v", err)
			}
		}
	})
}
