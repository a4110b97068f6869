package kubbi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
)

func testKey(first byte) *sealKey {
	k := new(sealKey)
	for i := range k {
		k[i] = first + byte(i)
	}
	return k
}

// tinkOf is Tink's own cipher for a key.
func tinkOf(t testing.TB, key *sealKey) *subtle.AESGCMHKDF {
	t.Helper()
	a, err := subtle.NewAESGCMHKDF(key[:], "SHA256", 32, sealSegment, 0)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func aadOf(key *sealKey) []byte { return []byte("kubbi-sealed-2:" + key.id()) }

// tinkSeal seals with Tink.
func tinkSeal(t testing.TB, key *sealKey, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := tinkOf(t, key).NewEncryptingWriter(&out, aadOf(key))
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// streamed seals as a request's body is sealed.
func streamed(t testing.TB, key *sealKey, plain []byte) []byte {
	t.Helper()
	s, err := key.newSealing(int64(len(plain)))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(s.open(io.NopCloser(iotest.HalfReader(bytes.NewReader(plain)))))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unstreamed opens as an answer is opened.
func unstreamed(key *sealKey, sealed []byte) ([]byte, error) {
	r, err := key.opening(bytes.NewReader(sealed), int64(len(sealed)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// edges are the sizes at which a number of segments begins or ends.
var edges = []int{0, 1, 100, sealFirstPlain - 1, sealFirstPlain, sealFirstPlain + 1,
	sealFirstPlain + sealPlainSegment - 1, sealFirstPlain + sealPlainSegment, sealFirstPlain + sealPlainSegment + 1, 5*sealSegment + 7}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// TestSealedIsTinks: Tink opens what is sealed here, and the reverse.
func TestSealedIsTinks(t *testing.T) {
	key := testKey(1)
	for _, size := range edges {
		plain := noise(size)
		ours := streamed(t, key, plain)
		if int64(len(ours)) != sealedSize(int64(size)) || plainSize(int64(len(ours))) != int64(size) {
			t.Errorf("%d bytes make %d, and sealedSize says %d", size, len(ours), sealedSize(int64(size)))
		}
		r, err := tinkOf(t, key).NewDecryptingReader(bytes.NewReader(ours), aadOf(key))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes, opened by Tink: %v", size, err)
		}
		if got, err := unstreamed(key, tinkSeal(t, key, plain)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes, sealed by Tink: %v", size, err)
		}
	}
}

// TestSealedFromTheMiddle reads a ciphertext from everywhere.
func TestSealedFromTheMiddle(t *testing.T) {
	key := testKey(1)
	for _, size := range edges {
		plain := noise(size)
		sealed := streamed(t, key, plain)
		whole, err := key.opening(bytes.NewReader(sealed), int64(len(sealed)))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range append(slices.Clone(edges), size-1, size) {
			if at < 0 || at > size {
				continue
			}
			r, err := whole.s.openingAt(int64(at), Part{open: openBytes(sealed)})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, plain[at:]) {
				t.Errorf("%d bytes from %d on: %d bytes, %v", size, at, len(got), err)
			}
		}
	}
}

// TestSealedForged: after any change, no byte is given of a segment that is not the sender's,
// and a ciphertext that was cut off has no valid end.
func TestSealedForged(t *testing.T) {
	key := testKey(1)
	plain := noise(3*sealSegment + 1000)
	sealed := streamed(t, key, plain)
	segment := func(n int) []byte { return sealed[n*sealSegment : min(len(sealed), (n+1)*sealSegment)] }
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	flipped := func(at int) []byte {
		b := bytes.Clone(sealed)
		b[at] ^= 1
		return b
	}
	changed := map[string]struct {
		sealed []byte
		whole  int // segments that still are the sender's
	}{
		"segments swapped":          {join(segment(0), segment(2), segment(1), segment(3)), 1},
		"a segment dropped":         {join(segment(0), segment(2), segment(3)), 1},
		"a segment twice":           {join(segment(0), segment(1), segment(1), segment(2), segment(3)), 2},
		"the last segment first":    {join(segment(0)[:sealHeaderLen], segment(3)), 0},
		"cut at a segment":          {join(segment(0), segment(1)), 1},
		"cut in a segment":          {sealed[:sealSegment+500], 1},
		"cut by a byte":             {sealed[:len(sealed)-1], 3},
		"cut in the header":         {sealed[:20], 0},
		"the header alone":          {sealed[:sealHeaderLen], 0},
		"nothing":                   {nil, 0},
		"more behind":               {join(sealed, []byte{0}), 3},
		"a segment more":            {join(sealed, segment(1)), 3},
		"another ciphertext's":      {join(segment(0), streamed(t, key, plain)[sealSegment:]), 1},
		"another key":               {streamed(t, testKey(2), plain), 0},
		"header: length":            {flipped(0), 0},
		"header: salt":              {flipped(1), 0},
		"header: salt's end":        {flipped(sealSalt), 0},
		"header: nonce prefix":      {flipped(1 + sealSalt), 0},
		"header: nonce prefix' end": {flipped(sealHeaderLen - 1), 0},
	}
	for n := range 4 { // each region of each segment: begin, middle, tag
		begin := max(n*sealSegment, sealHeaderLen)
		end := min(len(sealed), (n+1)*sealSegment)
		for _, at := range []int{begin, (begin + end) / 2, end - sealTag - 1, end - sealTag, end - 1} {
			changed[fmt.Sprintf("byte %d of segment %d", at, n)] = struct {
				sealed []byte
				whole  int
			}{flipped(at), n}
		}
	}
	for name, tt := range changed {
		got, err := unstreamed(key, tt.sealed)
		if err != errSealForged && err != errSealForm {
			t.Errorf("%s: error is %v", name, err)
		}
		if most := int(plainStart(int64(tt.whole))); len(got) > most || !bytes.HasPrefix(plain, got) {
			t.Errorf("%s: %d bytes are given, %d of them the sender's", name, len(got), most)
		}
	}
}

// TestSealedOtherLabel: a ciphertext of Tink with other associated data, or of
// another size of segments, is none of this format.
func TestSealedOtherLabel(t *testing.T) {
	key := testKey(1)
	for name, a := range map[string]struct {
		segment int
		aad     string
	}{
		"no label": {sealSegment, ""}, "no kid": {sealSegment, "kubbi-sealed-2:"}, "another kid": {sealSegment, "kubbi-sealed-2:" + testKey(2).id()},
		"another format": {sealSegment, "kubbi-sealed-3:" + key.id()}, "other segments": {4 << 10, string(aadOf(key))},
	} {
		other, err := subtle.NewAESGCMHKDF(key[:], "SHA256", 32, a.segment, 0)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w, err := other.NewEncryptingWriter(&out, []byte(a.aad))
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(noise(10_000))
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := unstreamed(key, out.Bytes()); len(got) > 0 || err != errSealForged && err != errSealForm {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestSealedAgain: a further attempt gives the same bytes. If the plaintext has changed, it
// gives nothing new.
func TestSealedAgain(t *testing.T) {
	key := testKey(1)
	plain := noise(3*sealSegment + 9)
	s, err := key.newSealing(int64(len(plain)))
	if err != nil {
		t.Fatal(err)
	}
	read := func(plain []byte) ([]byte, error) {
		return io.ReadAll(s.open(io.NopCloser(bytes.NewReader(plain))))
	}
	part := make([]byte, sealSegment+100) // an attempt that ends in the second segment
	if _, err := io.ReadFull(s.open(io.NopCloser(bytes.NewReader(plain))), part); err != nil {
		t.Fatal(err)
	}
	first, err := read(plain)
	if err != nil || !bytes.HasPrefix(first, part) {
		t.Fatalf("the second attempt differs: %v", err)
	}
	for _, at := range []int{0, sealFirstPlain - 1, 2 * sealSegment, len(plain) - 1} {
		other := bytes.Clone(plain)
		other[at] ^= 1
		got, err := read(other)
		if !errors.Is(err, errSealChanged) || !bytes.HasPrefix(first, got) {
			t.Errorf("byte %d changed: %d bytes, %v", at, len(got), err)
		}
	}
	for name, other := range map[string][]byte{"shorter": plain[:len(plain)-1], "longer": append(bytes.Clone(plain), 0), "empty": nil} {
		if got, err := read(other); !errors.Is(err, errSealChanged) || !bytes.HasPrefix(first, got) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestSealedSourceFails: an error of the source is passed on.
func TestSealedSourceFails(t *testing.T) {
	key := testKey(1)
	broken := iotest.ErrReader(io.ErrClosedPipe)
	s, err := key.newSealing(100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(s.open(io.NopCloser(io.MultiReader(strings.NewReader("x"), broken)))); err != io.ErrClosedPipe {
		t.Errorf("sealing: %v", err)
	}
	sealed := streamed(t, key, noise(2*sealSegment))
	for _, n := range []int{0, 10, sealHeaderLen, sealSegment, sealSegment + 1} {
		r, err := key.opening(io.MultiReader(bytes.NewReader(sealed[:n]), broken), int64(len(sealed)))
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err != io.ErrClosedPipe {
			t.Errorf("opening, after %d bytes: %v", n, err)
		}
	}
}

// TestSealedSizes checks the arithmetic with the largest of all.
func TestSealedSizes(t *testing.T) {
	for _, size := range []int64{0, sealFirstPlain, 1 << 30, 1 << 40, maxSealedPlain} {
		if n := sealedSize(size); plainSize(n) != size || segmentsOf(size) > maxSealSegments {
			t.Errorf("%d bytes make %d, those %d", size, n, plainSize(n))
		}
	}
	if _, err := testKey(1).newSealing(maxSealedPlain + 1); err == nil {
		t.Error("more than can be numbered is sealed")
	}
	for _, n := range []int64{-1, 0, sealHeaderLen + sealTag - 1, sealSegment + 1, sealSegment + sealTag, 1 << 62} {
		if got := plainSize(n); got >= 0 {
			t.Errorf("a ciphertext of %d bytes has %d inside", n, got)
		}
	}
}
