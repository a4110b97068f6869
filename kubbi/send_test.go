package kubbi

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi/api"
)

func TestSendBody(t *testing.T) {
	type pair struct {
		A int    `json:"a"`
		B string `json:"b,omitempty"`
	}
	tests := []struct {
		name string
		p    SendParams
		want string
	}{
		{"text", SendParams{Content: "héllo\n"}, `{"content":"héllo\n","content_type":"text/plain","ttl_seconds":3600}`},
		{"empty text", SendParams{Content: ""}, `{"content":"","content_type":"text/plain","ttl_seconds":3600}`},
		{"markdown", SendParams{Content: "# x", ContentType: api.TypeMarkdown}, `{"content":"# x","content_type":"text/markdown","ttl_seconds":3600}`},
		{"struct", SendParams{Content: pair{A: 1}}, `{"content":{"a":1},"content_type":"application/json","ttl_seconds":3600}`},
		{"number", SendParams{Content: 1.5}, `{"content":1.5,"content_type":"application/json","ttl_seconds":3600}`},
		{"null", SendParams{Content: jsontext.Value("null")}, `{"content":null,"content_type":"application/json","ttl_seconds":3600}`},
		{"raw value", SendParams{Content: jsontext.Value(` {"z": 1e400 ,"a":[ ]} `)}, `{"content": {"z": 1e400 ,"a":[ ]} ,"content_type":"application/json","ttl_seconds":3600}`},
		{"raw message", SendParams{Content: json.RawMessage(`[1, 2]`)}, `{"content":[1, 2],"content_type":"application/json","ttl_seconds":3600}`},
		{"raw string", SendParams{Content: json.RawMessage(`"x\u0000"`)}, `{"content":"x\u0000","content_type":"text/plain","ttl_seconds":3600}`},
		{"string as JSON", SendParams{Content: "x", ContentType: api.TypeJSON}, `{"content":"x","content_type":"application/json","ttl_seconds":3600}`},
		{"terms", SendParams{Content: "x", TTL: 90500 * time.Millisecond, MaxRetrievals: 1, Metadata: map[string]any{"k": []int{1}}},
			`{"content":"x","content_type":"text/plain","ttl_seconds":91,"max_retrievals":1,"metadata":{"k":[1]}}`},
		{"receipts", SendParams{Content: "x", Notify: &Notify{URL: "https://example.com/h", Events: []api.Event{api.EventBurned}}},
			`{"content":"x","content_type":"text/plain","ttl_seconds":3600,"x_notify":{"notify_url":"https://example.com/h","events":["burned"]}}`},
		{"all receipts", SendParams{Content: "x", Notify: &Notify{URL: "https://example.com/h"}},
			`{"content":"x","content_type":"text/plain","ttl_seconds":3600,"x_notify":{"notify_url":"https://example.com/h"}}`},
		{"raw metadata", SendParams{Content: "x", Metadata: json.RawMessage(`{"k": 1}`)}, `{"content":"x","content_type":"text/plain","ttl_seconds":3600,"metadata":{"k":1}}`},
		// The server knows its limits, and says all that is wrong at once.
		{"left to the server", SendParams{Content: "x", TTL: -time.Second, MaxRetrievals: -1, ContentType: "x/y"},
			`{"content":"x","content_type":"x/y","ttl_seconds":-1,"max_retrievals":-1}`},
		{"huge TTL", SendParams{Content: "x", TTL: math.MaxInt64}, `{"content":"x","content_type":"text/plain","ttl_seconds":9223372037}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s seen
			c, _ := serve(t, failing(&s, 0, nil))
			sent, err := c.Send(context.Background(), tt.p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(okSent, *sent); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			r := s.all()[0]
			if diff := cmp.Diff(tt.want, r.body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if r.method != "POST" || r.path != "/api/v1/kubbis" || r.length != int64(len(tt.want)) || r.header.Get("Content-Type") != api.TypeJSON {
				t.Errorf("request is %s %s, %d bytes of %s", r.method, r.path, r.length, r.header.Get("Content-Type"))
			}
		})
	}
}

func TestSendRefuses(t *testing.T) {
	const marker = "payload-marker"
	var s seen
	c, _ := serve(t, failing(&s, 0, nil))
	for name, p := range map[string]SendParams{
		"nothing":         {},
		"bytes":           {Content: []byte(marker)},
		"invalid UTF-8":   {Content: marker + "\xff"},
		"empty raw":       {Content: jsontext.Value(nil)},
		"raw garbage":     {Content: json.RawMessage(marker)},
		"raw with more":   {Content: json.RawMessage(`1,"metadata":{}`)},
		"raw open":        {Content: json.RawMessage(`{"` + marker + `":1`)},
		"channel":         {Content: map[string]any{marker: make(chan int)}},
		"content type":    {Content: "x", ContentType: marker + "\xff"},
		"metadata array":  {Content: "x", Metadata: []string{marker}},
		"metadata text":   {Content: "x", Metadata: marker},
		"metadata null":   {Content: "x", Metadata: json.RawMessage("null")},
		"metadata broken": {Content: "x", Metadata: json.RawMessage(`{"` + marker)},
	} {
		_, err := c.Send(context.Background(), p)
		wantOnly(t, err, ErrValidation)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantNone(t, name+": error", err.Error(), marker)
	}
	for name, f := range map[string][]File{
		"no files":      nil,
		"invalid UTF-8": {{Name: "a", Content: marker + "\xff", ContentType: api.TypeText}},
		"name":          {{Name: marker + "\xff", Content: "x", ContentType: api.TypeText}},
	} {
		_, err := c.SendFiles(context.Background(), SendFilesParams{Files: f})
		wantOnly(t, err, ErrValidation)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantNone(t, name+": error", err.Error(), marker)
	}
	if n := len(s.all()); n != 0 {
		t.Errorf("%d requests were made, want 0", n)
	}
}

func TestSendFilesBody(t *testing.T) {
	two, size := 2, int64(9)
	want := api.CreateResponse{ID: testID, ClaimURL: "https://h/r/" + testToken, ClaimToken: testToken, FileCount: &two, TotalSizeBytes: &size, MaxRetrievals: &two}
	var s seen
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		s.add(r)
		answer(w, 201, want)
	})
	got, err := c.SendFiles(context.Background(), SendFilesParams{
		Files: []File{
			{Name: "a.md", Content: "# \"x\"\x00", ContentType: api.TypeMarkdown, Role: "instructions"},
			{Name: "b.bin", Content: "AAE=", ContentType: "application/octet-stream", Encoding: api.EncodingBase64},
		},
		TTL: time.Minute, MaxRetrievals: 2, Metadata: map[string]string{"k": "v"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	const body = `{"files":[{"name":"a.md","content_type":"text/markdown","role":"instructions","content":"# \"x\"\u0000"},` +
		`{"name":"b.bin","content_type":"application/octet-stream","encoding":"base64","content":"AAE="}],` +
		`"ttl_seconds":60,"max_retrievals":2,"metadata":{"k":"v"}}`
	if diff := cmp.Diff(body, s.all()[0].body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

// A large content is sent and claimed without a copy.
func TestLargeContentIsNotCopied(t *testing.T) {
	const size = 8 << 20
	content := json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
	body := append(append([]byte(`{"content":`), content...), `,"content_type":"text/plain","metadata":null}`...)
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.PathKubbis {
			if n, _ := io.Copy(io.Discard, r.Body); n < size {
				t.Errorf("the server got %d bytes", n)
			}
			answer(w, 201, okSent)
			return
		}
		w.Write(body)
	})
	ctx := context.Background()
	allocated := func(f func()) uint64 {
		f() // connections and pools
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if n := allocated(func() {
		if _, err := c.Send(ctx, SendParams{Content: content}); err != nil {
			t.Fatal(err)
		}
	}); n > size/4 {
		t.Errorf("sending %d bytes allocated %d", size, n)
	}
	// The handler's Write of a large body does not buffer it, but sends it in chunks.
	if n := allocated(func() {
		got, err := c.Claim(ctx, testToken, looked())
		if err != nil || len(got.Content) != len(content) {
			t.Fatal(err)
		}
	}); n > 6*size {
		t.Errorf("claiming %d bytes of unknown length allocated %d", size, n)
	}
	sized, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", itoa(len(body)))
		w.Write(body)
	})
	if n := allocated(func() {
		got, err := sized.Claim(ctx, testToken, looked())
		if err != nil || string(got.Content) != string(content) {
			t.Fatal(err)
		}
	}); n > size+size/4 {
		t.Errorf("claiming %d bytes allocated %d", size, n)
	}
}
