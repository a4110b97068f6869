package transport

import (
	"strings"
	"testing"
)

// longCall is a tool call with a payload of 1 MiB.
var longCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{"content":"` + strings.Repeat("x", 1<<20) + `"}}}` + "\n"

// BenchmarkParse1MB and BenchmarkRead1MB are the transport's own share of a long
// message.
func BenchmarkParse1MB(b *testing.B) {
	in := []byte(longCall)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, fault := parse(in); fault != nil {
			b.Fatal(fault)
		}
	}
}

func BenchmarkRead1MB(b *testing.B) {
	b.SetBytes(int64(len(longCall)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newLineReader(strings.NewReader(longCall), DefaultMaxMessageBytes).next(); err != nil {
			b.Fatal(err)
		}
	}
}
