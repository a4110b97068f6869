package kubbi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// sourceOf is a source of these bytes.
func sourceOf(data []byte) kubbi.Source {
	return kubbi.Source{Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// toFile is ToFile with a file that is open.
func toFile(f *os.File) kubbi.ClaimOption {
	return kubbi.ToFile(func() (kubbi.PayloadFile, error) { return f, nil })
}

func payloadFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "payload"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func read(t *testing.T, p kubbi.Part) []byte {
	t.Helper()
	r, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != p.Size {
		t.Fatalf("part of %d bytes: read %d, %v", p.Size, len(b), err)
	}
	return b
}

// TestSourcesToFile sends files as they are read and claims them into a file,
// small and large, open and sealed.
func TestSourcesToFile(t *testing.T) {
	_, clients := start(t)
	binary := make([]byte, 3<<20+1)
	rand.NewChaCha8([32]byte{1}).Read(binary)
	text := []byte(strings.Repeat("héllo \\ wörld 🎉\n\x00", 100<<10))
	list := []byte(`{"a": [` + strings.Repeat(`"long string", 1e400, `, 100<<10) + `null]}`)
	for name, c := range clients {
		for _, sealed := range []bool{false, true} {
			for _, short := range []bool{false, true} {
				b, tx := sourceOf(binary), sourceOf(text)
				if short {
					b, tx = sourceOf(binary[:100]), sourceOf(text[:7])
				}
				b.Name, b.ContentType, b.Encoding, b.Role = "b.bin", "application/octet-stream", api.EncodingBase64, "data"
				tx.Name, tx.ContentType = "t.txt", "text/plain"
				sent, err := c.SendFiles(t.Context(), kubbi.SendFilesParams{Sources: []kubbi.Source{b, tx}, MaxRetrievals: 1, Sealed: sealed})
				if err != nil {
					t.Fatalf("%s: send files: %v", name, err)
				}
				got, err := c.Claim(t.Context(), sent.ClaimURL, toFile(payloadFile(t)), kubbi.HoldGrace())
				if err != nil {
					t.Fatalf("%s: claim files: %v", name, err)
				}
				if len(got.Parts) != 2 || !got.Burned || *got.Remaining != 0 || got.Grace == 0 {
					t.Fatalf("%s: claimed %+v", name, got)
				}
				if err := got.Release(t.Context()); err != nil {
					t.Errorf("%s: release: %v", name, err)
				}
				if p := got.Parts[0]; p.Name != "b.bin" || *p.Role != "data" || p.ContentType != "application/octet-stream" || !bytes.Equal(read(t, p), binary[:b.Size]) {
					t.Errorf("%s: sealed %v: the binary file is another one: %+v", name, sealed, p)
				}
				if p := got.Parts[1]; p.Name != "t.txt" || !bytes.Equal(read(t, p), text[:tx.Size]) {
					t.Errorf("%s: sealed %v: the text file is another one: %+v", name, sealed, p)
				}
			}
			for typ, data := range map[string][]byte{api.TypeCSV: text, api.TypeJSON: list, api.TypeMarkdown: {}} {
				src := sourceOf(data)
				src.ContentType = typ
				sent, err := c.Send(t.Context(), kubbi.SendParams{Source: &src, Sealed: sealed})
				if err != nil {
					t.Fatalf("%s: send %s: %v", name, typ, err)
				}
				look, err := c.Inspect(t.Context(), sent.ClaimURL)
				if err != nil || look.PayloadSizeKnown == sealed || !sealed && look.PayloadSize != int64(len(data)) {
					t.Errorf("%s: inspect: %+v, %v; want %d bytes", name, look, err, len(data))
				}
				got, err := c.Claim(t.Context(), sent.ClaimURL, toFile(payloadFile(t)))
				if err != nil {
					t.Fatalf("%s: claim %s: %v", name, typ, err)
				}
				if len(got.Parts) != 1 || got.Parts[0].ContentType != typ || !bytes.Equal(read(t, got.Parts[0]), data) {
					t.Errorf("%s: sealed %v: the %s content is another one", name, sealed, typ)
				}
			}
		}
	}
}

// TestCancelHalfWay ends a send and a claim in the middle: there is no kubbi, no
// retrieval is lost to it, and nothing is left open.
func TestCancelHalfWay(t *testing.T) {
	relay, clients := start(t)
	data := make([]byte, 8<<20)
	for name, c := range clients {
		var open atomic.Int64
		src := sourceOf(data)
		src.Name, src.ContentType, src.Encoding = "a", "a/b", api.EncodingBase64
		src.Open = func() (io.ReadCloser, error) {
			open.Add(1)
			return struct {
				io.Reader
				io.Closer
			}{bytes.NewReader(data), closer(func() { open.Add(-1) })}, nil
		}
		p := kubbi.SendFilesParams{Sources: []kubbi.Source{src}, MaxRetrievals: 1}
		halfWay := func(cancel func()) kubbi.Progress {
			return func(done, total int64) {
				if done > 4<<20 {
					cancel()
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		p.Progress = halfWay(cancel)
		if _, err := c.SendFiles(ctx, p); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: send: %v", name, err)
		}
		if open.Load() != 0 {
			t.Errorf("%s: %d sources are open", name, open.Load())
		}
		if list, err := c.List(t.Context(), kubbi.ListParams{}); err != nil || len(list.Kubbis) != 0 {
			t.Errorf("%s: a kubbi was made: %+v, %v", name, list, err)
		}

		p.Progress = nil
		sent, err := c.SendFiles(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		key := kubbi.NewIdempotencyKey()
		ctx, cancel = context.WithCancel(t.Context())
		if _, err = c.Claim(ctx, sent.ClaimURL, toFile(payloadFile(t)), kubbi.WithIdempotencyKey(key), kubbi.WithProgress(halfWay(cancel))); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: claim: %v", name, err)
		}
		got, err := c.Claim(t.Context(), sent.ClaimURL, toFile(payloadFile(t)), kubbi.WithIdempotencyKey(key), kubbi.HoldGrace())
		if err != nil || !bytes.Equal(read(t, got.Parts[0]), data) {
			t.Fatalf("%s: claim with the same key: %v", name, err)
		}
		if _, err := c.Delete(t.Context(), sent.ID); err == nil {
			t.Errorf("%s: it was not burned", name)
		}
		noSpools(t, relay.Dir)
		relay.Clock.Advance(50 * time.Hour) // both clients see the same kubbis
		relay.Sweep(t)
	}
}

type closer func()

func (c closer) Close() error { c(); return nil }

// noSpools waits until this process has no spool open, which a request that was
// cut off closes soon.
func noSpools(t *testing.T, dir string) {
	t.Helper()
	wait, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for {
		open, _ := filepath.Glob(filepath.Join(dir, "spool-*"))
		fds, _ := os.ReadDir("/proc/self/fd") // where there is none, no file has a name either
		for _, fd := range fds {
			if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, filepath.Join(dir, "spool-")) {
				open = append(open, to)
			}
		}
		if len(open) == 0 {
			return
		}
		select {
		case <-wait.Done():
			t.Fatalf("left open: %v", open)
		case <-time.After(time.Millisecond):
		}
	}
}
