package transport

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"

	"golang.org/x/sync/semaphore"
)

// brokenWriter fails like a pipe whose reader has gone.
type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: b.err}
}

func TestBrokenStdout(t *testing.T) {
	cfg := testConfig()
	type outcome struct{ err, want error }
	outcomes := []outcome{{syscall.ENOSPC, syscall.ENOSPC}}
	for _, err := range brokenPipe {
		outcomes = append(outcomes, outcome{err, nil})
	}
	for _, tt := range outcomes {
		stdin, in := io.Pipe()
		done := make(chan error, 1)
		go func() { done <- ServeStdio(t.Context(), cfg, stdin, brokenWriter{tt.err}) }()
		if _, err := io.WriteString(in, initialize+"\n"); err != nil {
			t.Fatal(err)
		}
		if err := testkit.Receive(t, done, "the end"); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("stdout fails with %v: ServeStdio gives %v", tt.err, err)
		}
	}
}

// TestEndsWithContext ends the context while stdin is open and silent, with each kind of
// stdin.
func TestEndsWithContext(t *testing.T) {
	cfg := testConfig()
	pipe, w := io.Pipe()
	defer w.Close()
	file, fw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer fw.Close()
	for name, stdin := range map[string]io.Reader{"pipe": pipe, "file": file} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- ServeStdio(ctx, cfg, stdin, io.Discard) }()
			cancel()
			if err := testkit.Receive(t, done, "the end"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestClientThatReadsNothing ends a server whose client reads nothing.
func TestClientThatReadsNothing(t *testing.T) {
	cfg := testConfig()
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ServeStdio(ctx, cfg, stdin, stdout) }()
	for range 3 {
		if _, err := io.WriteString(in, initialize+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := testkit.Receive(t, done, "the end"); err != nil {
		t.Error(err)
	}
}

func TestReadError(t *testing.T) {
	cfg := testConfig()
	stdin, in := io.Pipe()
	in.CloseWithError(syscall.EIO)
	if err := ServeStdio(t.Context(), cfg, stdin, io.Discard); !errors.Is(err, syscall.EIO) {
		t.Errorf("ServeStdio gives %v", err)
	}
}

// TestNoRoomForBytes ends the context of a call that waits for room. It leaves no place
// taken, for which the end of the session would wait.
func TestNoRoomForBytes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSession(ctx, testConfig().Config, Stdio)
	st := &stdio{session: s, calls: semaphore.NewWeighted(maxCalls), bytes: semaphore.NewWeighted(1)}
	if !st.bytes.TryAcquire(1) {
		t.Fatal("no room at the beginning")
	}
	m, fault := parse([]byte(callIt))
	if fault != nil {
		t.Fatal(fault)
	}
	defer time.AfterFunc(10*time.Millisecond, cancel).Stop()
	st.start(ctx, s.newCall(ctx, m, nil, s.out))
	if !st.calls.TryAcquire(maxCalls) {
		t.Error("a place is taken")
	}
}
