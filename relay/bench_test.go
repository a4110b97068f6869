package relay_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"strconv"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

const callers = 16

// pool is a client with a connection for every caller.
func pool() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers, MaxConnsPerHost: callers}}
}

func exchange(b *testing.B, c *http.Client, url, auth, idem string, body []byte) []byte {
	req, err := http.NewRequest("POST", url, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return nil
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	if idem != "" {
		req.Header.Set(api.HeaderIdempotencyKey, idem)
	}
	resp, err := c.Do(req)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		b.Errorf("%v: %s %.100s", err, resp.Status, out)
	}
	return out
}

var benchBody = []byte(`{"content":"` + strings.Repeat("k", 1024) + `","content_type":"text/plain","ttl_seconds":3600,"max_retrievals":1}`)

// BenchmarkEcho is the baseline of BenchmarkPair: two plain exchanges of the same bodies.
func BenchmarkEcho(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}))
	defer srv.Close()
	c := pool()
	defer c.CloseIdleConnections()
	b.SetParallelism(callers / 2)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			exchange(b, c, srv.URL, "", "", benchBody)
			exchange(b, c, srv.URL, "", "", benchBody)
		}
	})
}

// BenchmarkPair creates and claims 1 KB over loopback HTTP, 16 callers at once.
func BenchmarkPair(b *testing.B) {
	for name, keyed := range map[string]bool{"plain": false, "keyed": true} {
		b.Run(name, func(b *testing.B) {
			s := relaytest.New(b)
			c := pool()
			defer c.CloseIdleConnections()
			var n atomic.Int64
			b.SetParallelism(callers / 2)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					idem := ""
					if keyed {
						idem = "key-of-the-benchmark-" + strconv.FormatInt(n.Add(1), 10)
					}
					var made api.CreateResponse
					if err := json.Unmarshal(exchange(b, c, s.URL+api.PathKubbis, "Bearer "+s.APIKey, idem, benchBody), &made); err != nil {
						b.Error(err)
						return
					}
					exchange(b, c, s.URL+"/r/"+made.ClaimToken+"/claim", "", idem, nil)
				}
			})
		})
	}
}

// BenchmarkContent creates and claims 10 MiB over loopback HTTP.
func BenchmarkContent(b *testing.B) {
	s := relaytest.New(b)
	c := pool()
	defer c.CloseIdleConnections()
	body := []byte(`{"content":"` + strings.Repeat(`line of text\n`, 10<<20/13) + `","content_type":"text/plain","ttl_seconds":3600,"max_retrievals":1}`)
	b.SetBytes(10 << 20)
	b.ResetTimer()
	for range b.N {
		var made api.CreateResponse
		if err := json.Unmarshal(exchange(b, c, s.URL+api.PathKubbis, "Bearer "+s.APIKey, "", body), &made); err != nil {
			b.Fatal(err)
		}
		exchange(b, c, s.URL+"/r/"+made.ClaimToken+"/claim", "", "", nil)
	}
}

// BenchmarkRaw creates and claims 64 MiB raw over loopback HTTP, under a key, as our
// client does.
func BenchmarkRaw(b *testing.B) {
	limits := api.DefaultLimits()
	limits.PackageBytes = 64 << 20
	s := relaytest.New(b, relaytest.WithLimits(limits))
	c := pool()
	defer c.CloseIdleConnections()
	body, err := api.AppendRawHead(nil, api.RawCreate{
		Files:      []api.RawFile{{Name: "f", ContentType: "a/b", Encoding: api.EncodingBase64, SizeBytes: limits.PackageBytes}},
		TTLSeconds: 3600, MaxRetrievals: new(1),
	})
	if err != nil {
		b.Fatal(err)
	}
	body = append(body, make([]byte, limits.PackageBytes)...)
	call := func(url, idem, mediaType string, body []byte) (out []byte) {
		req, err := http.NewRequest("POST", url, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.APIKey)
		req.Header.Set("Content-Type", mediaType)
		req.Header.Set("Accept", mediaType)
		req.Header.Set(api.HeaderIdempotencyKey, idem)
		resp, err := c.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		if body == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		} else {
			out, err = io.ReadAll(resp.Body)
		}
		if err != nil || resp.StatusCode >= 300 {
			b.Fatalf("%v: %s %.100s", err, resp.Status, out)
		}
		return out
	}
	b.SetBytes(2 * limits.PackageBytes)
	b.ResetTimer()
	for i := range b.N {
		idem := "key-of-the-benchmark-" + strconv.Itoa(i)
		var made api.CreateResponse
		if err := json.Unmarshal(call(s.URL+api.PathKubbis, idem, api.TypeRaw, body), &made); err != nil {
			b.Fatal(err)
		}
		call(s.URL+"/r/"+made.ClaimToken+"/claim", idem, api.TypeRaw, nil)
	}
}
