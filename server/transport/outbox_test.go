package transport

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

func (o *outbox) all() (texts []string) {
	for {
		m, ok := o.take()
		if !ok {
			return texts
		}
		texts = append(texts, string(m.text))
	}
}

// TestOutboxOrder gives messages in the order in which they came, and an update
// that still waits only once.
func TestOutboxOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := newOutbox(ctx)
	o.put(outMessage{text: []byte("1")})
	o.update("a", []byte("a"))
	o.update("b", []byte("b"))
	o.put(outMessage{text: []byte("2")})
	o.update("a", []byte("again"))
	if got := strings.Join(o.all(), " "); got != "1 a b 2" {
		t.Errorf("got %s", got)
	}
	o.update("a", []byte("later"))
	if got := strings.Join(o.all(), " "); got != "later" {
		t.Errorf("got %s", got)
	}
}

// TestOutboxDropsOldUpdates puts in more updates than there is room for.
func TestOutboxDropsOldUpdates(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := newOutbox(ctx)
	o.put(outMessage{text: []byte("kept")})
	const size = 1 << 10
	for i := range maxUpdates/size + 10 {
		o.update(fmt.Sprint(i), bytes.Repeat([]byte("x"), size))
	}
	got := o.all()
	if got[0] != "kept" || len(got) != 1+maxUpdates/size {
		t.Errorf("%d messages, the first %.10q", len(got), got[0])
	}
	o.update("new", []byte("new"))
	if got := o.all(); len(got) != 1 {
		t.Errorf("after that %d messages", len(got))
	}
}

// TestOutboxWaitsForRoom puts in a message that waits until another was taken, and one
// that is larger than the outbox.
func TestOutboxWaitsForRoom(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := newOutbox(ctx)
	if !o.put(outMessage{text: make([]byte, 3*maxQueued)}) {
		t.Fatal("a large message is refused")
	}
	put := make(chan bool, 1)
	go func() { put <- o.put(outMessage{text: []byte("next")}) }()
	select {
	case <-put:
		t.Error("there was no room")
	case <-time.After(20 * time.Millisecond): // would do no harm if it were too short
	}
	if m, ok := o.take(); !ok || len(m.text) != 3*maxQueued {
		t.Error("the large message is lost")
	}
	if !testkit.Receive(t, put, "room") {
		t.Error("the next message is refused")
	}
}

// TestOutboxClosed says of each answer once that it is lost, and takes no more.
func TestOutboxClosed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := newOutbox(ctx)
	lost := make(chan bool, 2)
	c := &Call{}
	c.OnWritten(func(written bool) { lost <- written })
	o.put(outMessage{text: make([]byte, maxQueued), answer: c})
	put := make(chan bool, 1)
	go func() { put <- o.put(outMessage{text: []byte("waits")}) }()
	cancel()
	o.close()
	if testkit.Receive(t, lost, "the loss") {
		t.Error("it was not written")
	}
	if testkit.Receive(t, put, "the end") || o.put(outMessage{text: []byte("late")}) {
		t.Error("a closed outbox takes messages")
	}
	o.update("a", []byte("late"))
	if got := o.all(); got != nil || len(lost) > 0 {
		t.Errorf("left over: %v", got)
	}
}
