package kubbi_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// BenchmarkSealed sends a file of 64 MiB and claims it, by way of a relay over HTTP,
// open and sealed by turns, so that both have the same machine. It gives the medians,
// and how many times longer what is sealed takes.
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
	file, err := os.Create(filepath.Join(b.TempDir(), "payload"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	source := kubbi.Source{Name: "data.bin", ContentType: "application/octet-stream", Encoding: api.EncodingBase64, Size: int64(len(data)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
	send := func(sealed bool) string {
		sent, err := c.SendFiles(b.Context(), kubbi.SendFilesParams{Sources: []kubbi.Source{source}, Sealed: sealed, MaxRetrievals: 1})
		if err != nil {
			b.Fatal(err)
		}
		return sent.ClaimURL
	}
	read := func(got *kubbi.Claimed) error {
		r, err := got.Parts[0].Open()
		if err == nil {
			var n int64
			if n, err = io.Copy(io.Discard, r); n != source.Size {
				b.Errorf("%d bytes came", n)
			}
		}
		return err
	}
	toFileOnDisk := func(url string) {
		got, err := c.Claim(b.Context(), url, toFile(file))
		if err == nil {
			err = read(got)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	underWay := func(url string) {
		if _, err := c.ClaimTo(b.Context(), url, nil, read); err != nil {
			b.Fatal(err)
		}
	}
	took := map[string][]time.Duration{}
	timed := func(what string, sealed bool, f func()) {
		if sealed {
			what += "-sealed"
		}
		start := time.Now()
		f()
		took[what] = append(took[what], time.Since(start))
	}
	for b.Loop() {
		for _, sealed := range []bool{false, true} {
			for claim, claimIt := range map[string]func(string){"claim-to-file": toFileOnDisk, "claim": underWay} {
				var url string
				timed("send", sealed, func() { url = send(sealed) })
				timed(claim, sealed, func() { claimIt(url) })
			}
		}
	}
	median := func(what string) float64 {
		all := took[what]
		slices.Sort(all)
		return all[len(all)/2].Seconds()
	}
	for _, what := range []string{"send", "claim", "claim-to-file"} {
		b.ReportMetric(float64(source.Size)/1e6/median(what), what+"-MB/s")
		b.ReportMetric(float64(source.Size)/1e6/median(what+"-sealed"), what+"-sealed-MB/s")
		b.ReportMetric(median(what+"-sealed")/median(what), what+"-times")
	}
}

// BenchmarkSealedSmall sends and claims a small text, open and sealed.
func BenchmarkSealedSmall(b *testing.B) {
	relay := relaytest.New(b)
	c, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for name, sealed := range map[string]bool{"open": false, "sealed": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sent, err := c.Send(b.Context(), kubbi.SendParams{Content: "a small text", Sealed: sealed, MaxRetrievals: 1})
				if err == nil {
					_, err = c.Claim(b.Context(), sent.ClaimURL)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
