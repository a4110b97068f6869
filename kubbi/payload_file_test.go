package kubbi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// toFile is ToFile with a file that is open.
func toFile(f *os.File) ClaimOption {
	return ToFile(func() (PayloadFile, error) { return f, nil })
}

func payloadFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "payload"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// contents reads every part, twice.
func contents(t testing.TB, s *Claimed) (all []string) {
	t.Helper()
	for i, p := range s.Parts {
		var got [2]string
		for n := range got {
			r, err := p.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("part %d: %v", i, err)
			}
			got[n] = string(b)
		}
		if got[0] != got[1] {
			t.Errorf("part %d is another one when read again", i)
		}
		if p.Size != int64(len(got[0])) {
			t.Errorf("part %d has %d bytes, and says %d", i, len(got[0]), p.Size)
		}
		all = append(all, got[0])
	}
	return all
}

// TestClaimToFile claims answers of every form and order.
func TestClaimToFile(t *testing.T) {
	long := strings.Repeat("héllo \\ \"wörld\"\n", 1000)
	quoted := strconv.QuoteToASCII(long)
	binary := strings.Repeat("\x00\xff\x01", 5000) + "x"
	encoded := base64.StdEncoding.EncodeToString([]byte(binary))
	times := `,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T12:00:00.000Z"}`
	for name, tt := range map[string]struct {
		body string
		want []string
	}{
		"short text":       {`{"content":"h\u00e9llo\n","content_type":"text/plain"` + times, []string{"héllo\n"}},
		"long text":        {`{"content":` + quoted + `,"content_type":"text/plain","metadata":{"k":"v"}` + times, []string{long}},
		"type first":       {` { "metadata":null, "content_type":"text/csv" , "content": ` + quoted + ` ` + times, []string{long}},
		"JSON":             {`{"content":{"a": [1e400, "x"] , "a":2},"content_type":"application/json"` + times, []string{`{"a": [1e400, "x"] , "a":2}`}},
		"long JSON":        {`{"content_type":"application/json","content":{"a":` + quoted + `,"b":[` + strings.Repeat("1,", 5000) + `2]}` + times, []string{`{"a":` + quoted + `,"b":[` + strings.Repeat("1,", 5000) + `2]}`}},
		"a string as JSON": {`{"content":` + quoted + `,"content_type":"application/json"` + times, []string{quoted}},
		"null":             {`{"content":null,"content_type":"application/json"` + times, []string{"null"}},
		"package": {`{"extra":` + quoted + `,"type":"kubbi_package","files":[{"encoding":"base64","content":"` + encoded + `","name":"a.bin","content_type":"a/b","size_bytes":1},` +
			`{"name":"b","content_type":"text/plain","content":` + quoted + `,"role":"data","size_bytes":2},` +
			`{"name":"c","content_type":"text/plain","content":"","role":null,"size_bytes":0},` +
			`{"name":"d","content_type":"a/b","content":"aGk=","encoding":"base64","size_bytes":2}],"file_count":4,"content":null` + times,
			[]string{binary, long, "", "hi"}},
		"empty package": {`{"type":"kubbi_package","files":[]` + times, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, tt.body) })
			file := payloadFile(t)
			io.WriteString(file, strings.Repeat("what was there before", 10000))
			got, err := c.Claim(t.Context(), testToken, toFile(file), looked())
			if err != nil {
				t.Fatal(err)
			}
			all := contents(t, got)
			if len(all) != len(tt.want) {
				t.Fatalf("%d parts, want %d", len(all), len(tt.want))
			}
			for i, want := range tt.want {
				if all[i] != want {
					t.Errorf("part %d is %.60q, want %.60q", i, all[i], want)
				}
			}
			if got.Content != nil || got.CreatedAt.IsZero() {
				t.Errorf("answer is %+v", got.ClaimResponse)
			}
			if name == "long text" && string(got.Metadata) != `{"k":"v"}` || name == "type first" && got.Metadata != nil {
				t.Errorf("metadata %s", got.Metadata)
			}
			if name == "package" && (got.Parts[1].Name != "b" || *got.Parts[1].Role != "data" || got.Parts[2].Role != nil || got.Parts[0].ContentType != "a/b") {
				t.Errorf("parts %+v", got.Parts)
			}
		})
	}
}

func TestClaimToFileRefuses(t *testing.T) {
	long := strings.Repeat("payload-marker", 1000)
	for name, tt := range map[string]struct {
		body string
		want error
	}{
		"empty":                 {``, errEmpty},
		"cut":                   {`{"content":"` + long, errCutShort},
		"cut later":             {`{"content":"` + long + `"`, errCutShort},
		"not JSON":              {`{"content":"` + long + `"]`, errNotJSON},
		"bad text":              {`{"content":"` + long + "\xff" + `"}`, errNotJSON},
		"bad JSON":              {`{"content":["` + long + `",}}]}`, errNotJSON},
		"bad JSON in its place": {`{"content":["` + long + `",1 2]}`, errNotJSON},
		"not base64":            {`{"files":[{"content":"` + long + `","encoding":"base64"}]}`, errNotJSON},
		"unknown encoding":      {`{"files":[{"content":"` + long + `","encoding":"x"}]}`, errNotJSON},
		"a number in a file":    {`{"files":[{"content":1}]}`, errNotJSON},
		"nothing":               {`{}`, errNotJSON},
		"too long":              {`{"content":"` + strings.Repeat(long, 10) + `"}`, errTooLarge},
	} {
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, tt.body) }, WithFileLimit(100<<10), WithRetries(0))
		_, err := c.Claim(t.Context(), testToken, toFile(payloadFile(t)), looked())
		if !errors.Is(err, tt.want) || !asError(t, err).Uncertain {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
		if err != nil {
			wantNone(t, "error", err.Error(), "payload-marker")
		}
	}
}

// TestClaimToFileRetries: an answer that was cut off is asked for again under the same key,
// and nothing of the first stays in the file.
func TestClaimToFileRetries(t *testing.T) {
	var s seen
	text := strings.Repeat("x", 1<<20)
	var progress steps
	c, _ := serve(t, failing(&s, 1, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(2<<20))
		io.WriteString(w, `{"content":"`+text+text[:1<<19])
		cut()
	}))
	file := payloadFile(t)
	got, err := c.Claim(t.Context(), testToken, toFile(file), looked(), WithIdempotencyKey("a-key"), WithProgress(progress.report))
	if err != nil {
		t.Fatal(err)
	}
	if all := contents(t, got); len(all) != 1 || all[0] != "hello" {
		t.Errorf("got %.50q", all)
	}
	if info, _ := file.Stat(); info.Size() > 1000 {
		t.Errorf("the file has %d bytes", info.Size())
	}
	for _, r := range s.all() {
		if r.header.Get(api.HeaderIdempotencyKey) != "a-key" {
			t.Error("not the same key")
		}
	}
}

// TestPayloadFileFails: a file that can't be written is an error of its own, after which the
// claim may be repeated.
func TestPayloadFileFails(t *testing.T) {
	var n atomic.Int64
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		answer(w, http.StatusOK, okClaim)
	})
	file := payloadFile(t)
	file.Close()
	_, err := c.Claim(t.Context(), testToken, toFile(file), looked())
	if e := asError(t, err); !errors.Is(err, os.ErrClosed) || errors.Is(err, ErrNetwork) || !e.Uncertain || n.Load() != 1 {
		t.Errorf("got %v after %d attempts", err, n.Load())
	}
}

// TestClaimToFileMemory claims more than it may hold.
func TestClaimToFileMemory(t *testing.T) {
	testkit.OnlyPlain(t, "memory is measured, and the race detector takes its own")
	const size = 64 << 20
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", api.TypeRaw)
		fmt.Fprintf(w, `{"content_type":"text/plain","content_bytes":%d}`+"\n", size)
		io.Copy(w, io.LimitReader(zeroes{}, size))
	})
	file := payloadFile(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := c.Claim(t.Context(), testToken, toFile(file), looked())
	if err != nil {
		t.Fatal(err)
	}
	r, err := got.Parts[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != size || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("claiming %d bytes allocated %d", size, n)
	}
}
