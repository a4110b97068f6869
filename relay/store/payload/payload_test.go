package payload_test

import (
	"bytes"
	"errors"
	"testing"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/payload"
)

// piece is a chunk of a payload that is larger than is held in memory.
func piece(i int) []byte { return bytes.Repeat([]byte{byte(i)}, store.MaxChunk-i) }

const pieces = 7

func TestKept(t *testing.T) {
	k := &payload.Kept{Dir: t.TempDir()}
	defer k.Close()
	for range 2 { // the second time after a Reset
		k.Reset()
		buf := make([]byte, store.MaxChunk)
		for i := range pieces {
			if err := k.Add(0, i, buf[:copy(buf, piece(i))]); err != nil {
				t.Fatal(err)
			}
		}
		if k.Len() != pieces {
			t.Fatalf("%d chunks", k.Len())
		}
	}
	i := 0
	for c, err := range k.All {
		if err != nil || c.Part != 0 || c.Index != i || !bytes.Equal(c.Sealed, piece(i)) {
			t.Fatalf("chunk %d: part %d, index %d, %d bytes, %v", i, c.Part, c.Index, len(c.Sealed), err)
		}
		i++
	}
	if i != pieces {
		t.Errorf("%d chunks came", i)
	}
}

// A claim that nobody waits for any more puts nothing on the disk.
func TestKeptClosed(t *testing.T) {
	k := &payload.Kept{Dir: t.TempDir()}
	k.Close()
	var err error
	for i := 0; i < pieces && err == nil; i++ {
		err = k.Add(0, i, piece(i))
	}
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestOrder(t *testing.T) {
	for _, tt := range []struct {
		name string
		last store.Chunk // after 0.0 and 0.1
		ok   bool
	}{
		{"goes on", store.Chunk{Index: 2}, true},
		{"the next part", store.Chunk{Part: 1}, true},
		{"twice", store.Chunk{Index: 1}, false},
		{"a gap", store.Chunk{Index: 3}, false},
		{"a part left out", store.Chunk{Part: 2}, false},
		{"not from its start", store.Chunk{Part: 1, Index: 1}, false},
		{"too large", store.Chunk{Index: 2, Sealed: make([]byte, store.MaxChunk+1)}, false},
	} {
		var o payload.Order
		for _, c := range []store.Chunk{{}, {Index: 1}} {
			if err := o.Next(c); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.Next(tt.last); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	var o payload.Order
	if err := o.Next(store.Chunk{Part: 1}); err == nil {
		t.Error("began with part 1")
	}
}
