package kubbi_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// BenchmarkSealed sends a file of 64 MiB and claims it into a spool, by way of a
// relay over HTTP, open and sealed.
func BenchmarkSealed(b *testing.B) {
	limits := api.DefaultLimits()
	limits.PackageBytes = 256 << 20
	relay := relaytest.New(b, relaytest.WithLimits(limits))
	c, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	data := make([]byte, 64<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	spool, err := os.Create(filepath.Join(b.TempDir(), "spool"))
	if err != nil {
		b.Fatal(err)
	}
	defer spool.Close()
	source := kubbi.Source{Name: "data.bin", ContentType: "application/octet-stream", Encoding: api.EncodingBase64, Size: int64(len(data)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
	send := func(sealed bool) string {
		sent, err := c.SendFiles(b.Context(), kubbi.SendFilesParams{Sources: []kubbi.Source{source}, Sealed: sealed, MaxRetrievals: 1})
		if err != nil {
			b.Fatal(err)
		}
		return sent.ClaimURL
	}
	claim := func(url string) {
		got, err := c.ClaimSpooled(b.Context(), url, spool)
		if err != nil {
			b.Fatal(err)
		}
		r, err := got.Parts[0].Open()
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); err != nil || n != source.Size {
			b.Fatal(n, err)
		}
	}
	for name, sealed := range map[string]bool{"open": false, "sealed": true} {
		b.Run("send/"+name, func(b *testing.B) {
			b.SetBytes(source.Size)
			for b.Loop() {
				url := send(sealed)
				b.StopTimer()
				claim(url) // and so wipe it
				b.StartTimer()
			}
		})
		b.Run("claim/"+name, func(b *testing.B) {
			b.SetBytes(source.Size)
			for b.Loop() {
				b.StopTimer()
				url := send(sealed)
				b.StartTimer()
				claim(url)
			}
		})
	}
}
