package secrets

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// recorder passes connections on to a relay, and keeps every byte of them.
type recorder struct {
	url string

	mu    sync.Mutex
	bytes bytes.Buffer
}

// record starts a recorder before the relay at an address. It ends with the test.
func record(t *testing.T, relay string) *recorder {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{url: "http://" + ln.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.pass(client, relay) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return r
}

func (r *recorder) pass(client net.Conn, relay string) {
	defer client.Close()
	server, err := net.Dial("tcp", relay)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.MultiWriter(server, r), client)
		server.Close()
	}()
	_, _ = io.Copy(io.MultiWriter(client, r), server)
	client.Close()
	<-done
}

// Write implements io.Writer.
func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes.Write(b)
}

func (r *recorder) all() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.bytes.Bytes())
}
