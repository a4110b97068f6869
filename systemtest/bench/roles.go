//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// play runs this program as one of the bare servers that kubbi-mcp is compared
// with.
func play(role string) error {
	switch role {
	case "mcp-echo":
		return mcpserver.ServeStdio(echoServer())
	case "mcp-http-echo":
		return mcpHTTPEcho()
	case "http-echo":
		return httpEcho()
	}
	return fmt.Errorf("unknown role %q", role)
}

// echoServer is the least that mcp-go can be: one tool that gives back its text.
func echoServer() *mcpserver.MCPServer {
	s := mcpserver.NewMCPServer("echo", "1")
	s.AddTool(mcp.NewTool("echo", mcp.WithString("message", mcp.Required())),
		func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(r.GetString("message", "")), nil
		})
	return s
}

// mcpHTTPEcho is the same over streamable HTTP, as mcp-go serves it by default.
func mcpHTTPEcho() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "http://"+l.Addr().String()+"/mcp")
	return http.Serve(l, mcpserver.NewStreamableHTTPServer(echoServer()))
}

// httpEcho reads each body whole, and answers /create with a body as large as the
// relay's answer is, /claim?size=N with one of N bytes.
func httpEcho() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "http://"+l.Addr().String())
	create, claim := sample(createAnswer), sample(1<<20)
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, 1<<24)); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/create" {
			w.WriteHeader(http.StatusCreated)
			w.Write(create)
			return
		}
		size, err := strconv.Atoi(strings.TrimPrefix(r.URL.RawQuery, "size="))
		if err != nil || size > len(claim) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Write(claim[:size])
	}))
}

const (
	createAnswer  = 400 // the size of the relay's answer to a create
	claimEnvelope = 200 // what it puts around the content in its answer to a claim
)

func sample(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	b[0], b[n-1] = '"', '"'
	return b
}
