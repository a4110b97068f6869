package tools

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"
)

func TestSumming(t *testing.T) {
	for _, size := range []int{0, 1, summedPart, sumBeside - 1, sumBeside, 3*sumBeside + 7} {
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(data)
		want := sha256.Sum256(data)
		s := newSumming(io.NopCloser(bytes.NewReader(data)), int64(size))
		if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: other ones are read, %v", size, err)
		}
		if !bytes.Equal(s.total(), want[:]) {
			t.Errorf("%d bytes: another checksum", size)
		}
		if err := s.Close(); err != nil || !bytes.Equal(s.total(), want[:]) {
			t.Errorf("%d bytes: after Close: %v", size, err)
		}
	}
	s := newSumming(io.NopCloser(bytes.NewReader(make([]byte, sumBeside))), sumBeside)
	if _, err := io.ReadFull(s, make([]byte, summedPart)); err != nil {
		t.Fatal(err)
	}
	s.Close() // half way
	select {
	case <-s.done:
	default:
		t.Error("the goroutine runs on")
	}
}
