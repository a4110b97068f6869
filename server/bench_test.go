package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
)

// line is the client's end of a stdio server over the kernel's pipes.
type line struct {
	b   *testing.B
	in  *os.File
	out *bufio.Reader
}

// dial serves over pipes until the benchmark ends, and does the handshake.
func dial(b *testing.B, serve func(ctx context.Context, stdin io.Reader, stdout io.Writer) error) *line {
	b.Helper()
	stdin, in, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, stdin, stdout) }()
	b.Cleanup(func() {
		in.Close()
		<-done
		cancel()
		for _, f := range []*os.File{stdin, out, stdout} {
			f.Close()
		}
	})
	l := &line{b: b, in: in, out: bufio.NewReaderSize(out, 64<<10)}
	l.roundTrip(initialize + "\n")
	return l
}

// roundTrip sends a message and reads the answer.
func (l *line) roundTrip(message string) []byte {
	l.b.Helper()
	if _, err := io.WriteString(l.in, message); err != nil {
		l.b.Fatal(err)
	}
	var answer []byte
	for {
		part, err := l.out.ReadSlice('\n')
		answer = append(answer, part...)
		if err == nil {
			return answer
		}
		if err != bufio.ErrBufferFull {
			l.b.Fatal(err)
		}
	}
}

// call calls a tool and expects it to succeed.
func (l *line) call(tool, args string) []byte {
	l.b.Helper()
	answer := l.roundTrip(callLine(tool, args))
	if strings.Contains(string(answer[:min(len(answer), 300)]), `"isError":true`) || strings.Contains(string(answer[:min(len(answer), 60)]), `"error":`) {
		l.b.Fatalf("%s: %.500s", tool, answer)
	}
	return answer
}

func callLine(tool, args string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + args + "}}\n"
}

// embedded gives a client of an embedded relay in the same process, as in the real
// program.
func embedded(b *testing.B) *kubbi.Client {
	b.Helper()
	relay := relaytest.New(b)
	c, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL), kubbi.WithTransport(relay.Local.RoundTripper(http.DefaultTransport)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkClientSend1KB sends without MCP. The difference to BenchmarkStdioSend1KB is
// what stdio costs.
func BenchmarkClientSend1KB(b *testing.B) {
	c := embedded(b)
	for b.Loop() {
		if _, err := c.Send(b.Context(), kubbi.SendParams{Content: text(1 << 10), MaxRetrievals: 1, TTL: time.Minute}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClientClaim1KB claims without MCP.
func BenchmarkClientClaim1KB(b *testing.B) {
	c := embedded(b)
	sent, err := c.Send(b.Context(), kubbi.SendParams{Content: text(1 << 10)})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Claim(b.Context(), sent.ClaimURL); err != nil {
			b.Fatal(err)
		}
	}
}

// ours serves the tools over an embedded relay.
func ours(b *testing.B) *line {
	b.Helper()
	s, err := New(Config{Client: embedded(b)})
	if err != nil {
		b.Fatal(err)
	}
	return dial(b, s.ServeStdio)
}

func text(n int) string { return strings.Repeat("0123456789abcdef", n/16) }

func benchmarkSend(b *testing.B, n int) {
	l := ours(b)
	args := `{"content":"` + text(n) + `","max_retrievals":1,"ttl_seconds":60}`
	l.call("send", args)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		l.call("send", args)
	}
}

func BenchmarkStdioSend1KB(b *testing.B)   { benchmarkSend(b, 1<<10) }
func BenchmarkStdioSend1MB(b *testing.B)   { benchmarkSend(b, 1<<20) }
func BenchmarkStdioSend10MiB(b *testing.B) { benchmarkSend(b, 10<<20) }

func benchmarkClaim(b *testing.B, n int) {
	l := ours(b)
	sent := l.call("send", `{"content":"`+text(n)+`"}`) // without a limit
	url := regexp.MustCompile(`"claim_url":"([^"]+)"`).FindSubmatch(sent)[1]
	args := fmt.Sprintf(`{"claim_url":%q}`, url)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		l.call("claim", args)
	}
}

func BenchmarkStdioClaim1KB(b *testing.B)   { benchmarkClaim(b, 1<<10) }
func BenchmarkStdioClaim1MB(b *testing.B)   { benchmarkClaim(b, 1<<20) }
func BenchmarkStdioClaim10MiB(b *testing.B) { benchmarkClaim(b, 10<<20) }

// benchmarkEcho is for comparison: mcp-go's own server, with a tool that returns its
// argument.
func benchmarkEcho(b *testing.B, n int) {
	s := mcpserver.NewMCPServer("echo", "1", mcpserver.WithToolCapabilities(false))
	s.AddTool(mcp.NewTool("echo", mcp.WithString("content", mcp.Required())), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(r.GetString("content", "")), nil
	})
	l := dial(b, mcpserver.NewStdioServer(s).Listen)
	args := `{"content":"` + text(n) + `"}`
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		l.call("echo", args)
	}
}

func BenchmarkBareEcho1KB(b *testing.B) { benchmarkEcho(b, 1<<10) }
func BenchmarkBareEcho1MB(b *testing.B) { benchmarkEcho(b, 1<<20) }
