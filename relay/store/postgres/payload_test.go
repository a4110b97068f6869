package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestSlowPayloadsHoldLittle has payloads that stop after 4 MiB. Each of them uses little
// memory: the rest is in its temporary file.
func TestSlowPayloadsHoldLittle(t *testing.T) {
	const payloads, most = 24, 1600 << 10
	ctx, cancel := context.WithCancel(t.Context())
	dir, stopped, ended := t.TempDir(), make(chan struct{}, payloads), make(chan error, payloads)
	before := heap()
	for range payloads {
		go func() {
			_, _, err := readPayload(ctx, io.MultiReader(bytes.NewReader(zeros), stuck{ctx, stopped}), 8<<20, dir)
			ended <- err
		}()
	}
	for range payloads {
		testkit.Receive(t, stopped, "a payload is read up to where it stops")
	}
	held := (heap() - before) / payloads
	t.Logf("%d bytes held by each of %d", held, payloads)
	if held > most {
		t.Errorf("each holds %d bytes, want %d at most", held, most)
	}
	cancel()
	for range payloads {
		if err := testkit.Receive(t, ended, "the payload ends"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

var zeros = make([]byte, 4<<20)

// stuck is a reader that gives nothing until its context ends.
type stuck struct {
	ctx  context.Context
	read chan<- struct{}
}

func (s stuck) Read([]byte) (int, error) {
	s.read <- struct{}{}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
