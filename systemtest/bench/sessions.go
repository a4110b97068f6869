//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	idleSessions = 1000
	settled      = 3 * time.Second // after which the garbage of the handshakes has had time to go
)

// idle: what is resident while a thousand agents have a session open and call
// nothing: without a stream, with one, and over SSE, which always has one.
func (s *suite) idle() error {
	for _, m := range []struct {
		what string
		open func(ctx context.Context, c *http.Client, url string) error
	}{
		{"streamable HTTP, no stream", func(ctx context.Context, c *http.Client, url string) error {
			_, err := agents(ctx, c, url+"/mcp", idleSessions)
			return err
		}},
		{"streamable HTTP, each with an open GET stream", openStreams},
		{"SSE", openSSE},
	} {
		rss := make([]series, len(s.builds))
		for range min(s.rounds, 3) {
			for i, b := range s.builds {
				mb, err := s.idleRound(b, m.open)
				if err != nil {
					return fmt.Errorf("%s: %w", m.what, err)
				}
				rss[i] = append(rss[i], mb)
			}
		}
		s.add("resident with 1,000 idle sessions: "+m.what, "60 MB", mega, anchor{}, rss...)
	}
	return nil
}

func (s *suite) idleRound(b build, open func(ctx context.Context, c *http.Client, url string) error) (float64, error) {
	url, p, err := s.serveHTTP(b)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	err = open(ctx, client, url)
	var rss float64
	if err == nil {
		time.Sleep(settled)
		rss, err = p.memory("VmRSS")
	}
	cancel()
	client.CloseIdleConnections()
	return rss, errors.Join(err, p.stop())
}

// openStreams opens sessions, and of each the stream of notifications, until
// ctx ends.
func openStreams(ctx context.Context, c *http.Client, url string) error {
	all, err := agents(ctx, c, url+"/mcp", idleSessions)
	if err != nil {
		return err
	}
	_, err = spread(connections, len(all), func(_, i int) error {
		_, err := openStream(ctx, c, url+"/mcp", all[i].session)
		return err
	})
	return err
}

// openStream opens a stream that ends with ctx.
func openStream(ctx context.Context, c *http.Client, url, session string) (io.Reader, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "text/event-stream")
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
	}
	resp, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, errors.New(resp.Status)
	}
	context.AfterFunc(ctx, func() { resp.Body.Close() })
	return resp.Body, nil
}

// openSSE opens sessions of SSE, and initializes each.
func openSSE(ctx context.Context, c *http.Client, url string) error {
	_, err := spread(connections, idleSessions, func(int, int) error {
		stream, err := openStream(ctx, c, url+"/sse", "")
		if err != nil {
			return err
		}
		lines := bufio.NewReaderSize(stream, 16<<10)
		endpoint, err := data(lines)
		if err != nil {
			return err
		}
		for _, message := range []string{initialize, `{"jsonrpc":"2.0","method":"notifications/initialized"}`} {
			if _, err := do(ctx, c, request{http.MethodPost, url + endpoint, []byte(message), ""}); err != nil {
				return err
			}
		}
		_, err = data(lines)
		return err
	})
	return err
}

// data reads the next event's data.
func data(lines *bufio.Reader) (string, error) {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", err
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			return strings.TrimSpace(text), nil
		}
	}
}
