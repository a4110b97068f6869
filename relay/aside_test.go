package relay

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestAside(t *testing.T) {
	data := make([]byte, 5*asideBuffer+17)
	rand.NewChaCha8([32]byte{1}).Read(data)
	var got bytes.Buffer
	a := newAside(&got)
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(2*asideBuffer))
		if k, err := a.Write(rest[:n]); k != n || err != nil {
			t.Fatal(k, err)
		}
		rest = rest[n:]
	}
	if err := a.close(); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("%d bytes of %d, %v", got.Len(), len(data), err)
	}

	full := errors.New("full")
	a = newAside(failingWriter{full})
	for range 3 * asideBuffers {
		if _, err := a.Write(data[:asideBuffer]); err != nil && err != full {
			t.Errorf("a later write: %v", err)
		}
	}
	if err := a.close(); err != full {
		t.Errorf("close: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestReadAhead(t *testing.T) {
	for _, size := range []int{0, 1, asideBuffer, 9*asideBuffer + 17} {
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{2}).Read(data)
		a := readAhead(iotest.HalfReader(bytes.NewReader(data)))
		if err := iotest.TestReader(a, data); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		a.close()
		early := readAhead(bytes.NewReader(data))
		early.Read(make([]byte, 10))
		early.close()
	}
	bad := errors.New("bad")
	a := readAhead(io.MultiReader(bytes.NewReader(make([]byte, 10)), iotest.ErrReader(bad)))
	if b, err := io.ReadAll(a); len(b) != 10 || err != bad {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
	a.close()
}
