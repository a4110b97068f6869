package server

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

// channelSession is a session of which only the notifications are looked at.
type channelSession chan mcp.JSONRPCNotification

func (channelSession) Initialize()                                           {}
func (channelSession) Initialized() bool                                     { return true }
func (channelSession) SessionID() string                                     { return "1" }
func (s channelSession) NotificationChannel() chan<- mcp.JSONRPCNotification { return s }

// TestMarks lets a call go on when its own mark has come out, written as mcp-go
// writes it, and takes nothing for a mark that is none.
func TestMarks(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	session := make(channelSession, 1)
	ctx := s.mcp.WithContext(t.Context(), session)
	followed := make(chan struct{})
	go func() { s.marks.follow(ctx, nil); close(followed) }()
	b, err := json.Marshal(<-session)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{
		fmt.Sprintf("event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":%s}\n\n", b),
		"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"n\":1}}\n\n",
		markHead + "x}}\n\n", markHead, "",
	} {
		if s.marks.take([]byte(event)) {
			t.Errorf("taken for a mark: %q", event)
		}
	}
	if !s.marks.take([]byte(markHead + "99}}\n\n")) {
		t.Error("another's mark goes out to the client")
	}
	select {
	case <-followed:
		t.Fatal("the call goes on without its mark")
	default:
	}
	if event := fmt.Sprintf("event: message\ndata: %s\n\n", b); !s.marks.take([]byte(event)) {
		t.Fatalf("not taken for a mark: %q", event)
	}
	await(t, followed, "the call")
}

// TestMarkThatNobodySees must not hold a call up.
func TestMarkThatNobodySees(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	for name, session := range map[string]channelSession{"not sent": make(channelSession), "not written": make(channelSession, 1)} {
		ctx, cancel := context.WithCancel(s.mcp.WithContext(t.Context(), session))
		followed := make(chan struct{})
		go func() { s.marks.follow(ctx, nil); close(followed) }()
		cancel()
		await(t, followed, name)
		if len(s.marks.waiting) != 0 {
			t.Errorf("%s: %d marks are still awaited", name, len(s.marks.waiting))
		}
	}
}

// TestAnswerToNoRequest is not taken for one to ours.
func TestAnswerToNoRequest(t *testing.T) {
	var a asks
	for _, in := range []string{
		`{"jsonrpc":"2.0","id":1,"result":{}}`,
		`{"jsonrpc":"2.0","id":"d3b07384-d9a0-4c9b-8f3e-1f0e9f1f2a3b","result":{}}`,
		`{"jsonrpc":"2.0","id":"a","method":"ping"}`,
	} {
		m, fault := parse([]byte(in))
		if fault != nil {
			t.Fatal(fault)
		}
		if a.answer(m) {
			t.Errorf("taken: %s", in)
		}
	}
}
