package service

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/page"
)

// TestSlowReadersHoldLittle has clients that claim and read nothing. Each of them uses a
// bounded part of memory, however large the answer is.
func TestSlowReadersHoldLittle(t *testing.T) {
	const readers = 24
	random := make([]byte, 3<<20)
	for i := range random {
		random[i] = byte(i * i >> 7)
	}
	content := base64.StdEncoding.EncodeToString(random) // 4 MiB
	for name, tc := range map[string]struct {
		files  int
		accept string
		each   int64 // bytes that a reader may hold
	}{
		"JSON":         {8, "application/json", 512 << 10}, // a chunk and some buffers
		"raw":          {8, api.TypeRaw, 512 << 10},
		"file to save": {8, "text/html", 512 << 10},
		"page":         {1, "text/html", 4 << 20}, // a few get a page, the others a file to save
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			var files []string
			for i := range tc.files {
				files = append(files, fmt.Sprintf(`{"name":"f%d","content":"%s","content_type":"text/plain"}`, i, content[:page.MaxShown-1<<10]))
			}
			status, body := s.call("POST", s.url+api.PathKubbis, `{"ttl_seconds":600,"files":[`+strings.Join(files, ",")+`]}`)
			_, token, _ := strings.Cut(body, "/r/")
			if status != 201 {
				t.Fatalf("create: %d %.200s", status, body)
			}
			token = token[:43]
			before := heap()
			for range readers {
				c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
				_ = c.SetDeadline(time.Now().Add(patience))
				if _, err := io.WriteString(c, "POST /r/"+token+"/claim HTTP/1.1\r\nHost: x\r\nAccept: "+tc.accept+"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil) // and no more
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
			}
			held := (heap() - before) / readers
			t.Logf("%d bytes held by each of %d", held, readers)
			if held > tc.each {
				t.Errorf("each holds %d bytes, want %d at most", held, tc.each)
			}
		})
	}
}

// TestSlowWritersHoldLittle has clients that stop in the middle of a large raw body. Each
// of them uses a few buffers.
func TestSlowWritersHoldLittle(t *testing.T) {
	const writers = 24
	s := serve(t, nil)
	size := int64(8 << 20)
	head, err := api.AppendRawHead(nil, api.RawCreate{ContentType: api.TypeText, ContentBytes: &size, TTLSeconds: 600})
	if err != nil {
		t.Fatal(err)
	}
	half := strings.Repeat("x", int(size)/2)
	before := heap()
	for range writers {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s%s",
			api.PathKubbis, s.key, api.TypeRaw, int64(len(head))+size, head, half); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Await(t, "all run", func() bool { return len(s.running) == writers })
	held := (heap() - before) / writers
	t.Logf("%d bytes held by each of %d", held, writers)
	if held > 512<<10 {
		t.Errorf("each holds %d bytes", held)
	}
}

// TestNothingRead has a client that reads nothing of a large page. It gets the time of a
// piece, not of the whole page.
func TestNothingRead(t *testing.T) {
	s := serve(t, func(c *Config) { c.Limits.Stall, c.Limits.MinRate = 300*time.Millisecond, 256<<10 }) // 40 s for the page
	content := strings.Repeat("x", page.MaxShown-1)
	status, body := s.call("POST", s.url+api.PathKubbis, `{"ttl_seconds":600,"files":[{"name":"f","content":"`+content+`","content_type":"text/plain"}]}`)
	_, token, _ := strings.Cut(body, "/r/")
	if status != 201 {
		t.Fatalf("create: %d %.200s", status, body)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /r/"+token[:43]+"/claim HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	testkit.Await(t, "it runs", func() bool { return len(s.running) == 1 })
	testkit.Await(t, "it is ended", func() bool { return len(s.running) == 0 })
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("ended after %v", took)
	}
}

// heap is the live heap in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
