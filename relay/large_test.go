package relay_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// TestLargeCreate sends large bodies, in every order of members, and claims what was sent.
func TestLargeCreate(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	r := newRig(t)
	binary := make([]byte, 5<<20+7)
	rand.NewChaCha8([32]byte{1}).Read(binary)
	encoded := base64.StdEncoding.EncodeToString(binary)
	text := strings.Repeat("héllo \"wörld\" 🎉\n", 200<<10)
	quoted, _ := json.Marshal(text)
	for name, body := range map[string]string{
		"encoding-first-0123456789": `{"files":[{"encoding":"base64","name":"a","content_type":"a/b","content":"` + encoded + `"},{"name":"b","content_type":"c/d","content":` + string(quoted) + `}],"ttl_seconds":3600}`,
		"encoding-last-0123456789":  `{"ttl_seconds":3600,"files":[{"content":"` + strings.ReplaceAll(encoded, "/", `\/`) + `","name":"a","content_type":"a/b","encoding":"base64"},{"content":` + string(quoted) + `,"name":"b","content_type":"c/d"}]}`,
	} {
		c := r.create(body, key, name)
		if again := r.create(body, key, name); again.ID != c.ID {
			t.Errorf("%s: a repeated create is another kubbi", name)
		}
		wantError(t, r.call("POST", api.PathKubbis, strings.Replace(body, "3600", "3601", 1), key, name), api.CodeConflict, "Idempotency-Key")
		if *c.TotalSizeBytes != int64(len(binary)+len(text)) {
			t.Errorf("%s: %d bytes", name, *c.TotalSizeBytes)
		}
		var got api.ClaimResponse
		decode(t, r.claim(c.ClaimToken).body, &got)
		if len(got.Files) != 2 || got.Files[0].Content != encoded || got.Files[0].Encoding != "base64" || got.Files[1].Content != text || got.Files[1].SizeBytes != int64(len(text)) {
			t.Errorf("%s: claimed something else", name)
		}
	}
	list := `{"a":[` + strings.Repeat(`1e400, "x\u00e9", `, 100<<10) + `null], "long":` + string(quoted) + `, "long":2}`
	for name, tt := range map[string]struct{ content, contentType string }{
		"text":             {string(quoted), "text/plain"},
		"JSON":             {list, "application/json"},
		"a string as JSON": {string(quoted), "application/json"},
	} {
		c := r.create(`{"content":` + tt.content + `,"content_type":"` + tt.contentType + `","ttl_seconds":3600}`)
		var got struct{ Content json.RawMessage }
		decode(t, r.claim(c.ClaimToken).body, &got)
		want := tt.content
		if name == "text" {
			var a string
			if json.Unmarshal(got.Content, &a) != nil || a != text {
				t.Errorf("%s: claimed something else", name)
			}
			continue
		}
		if string(got.Content) != want {
			t.Errorf("%s: claimed something else", name)
		}
	}
}

func TestLargeFaults(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	r := newRig(t)
	long := strings.Repeat("p4yl0ad-marker", 200<<10)
	for name, tt := range map[string]struct {
		body, want string
		code       api.Code
	}{
		"a wrong type":    {`{"content":"` + long + `","content_type":"x","ttl_seconds":3600}`, "content_type must be one of", api.CodeValidation},
		"a long type":     {`{"content_type":"` + long + `","content":"","ttl_seconds":3600}`, "content_type must be one of", api.CodeValidation},
		"several":         {`{"content":"` + long + `","content_type":"x"}`, "several faults", api.CodeValidation},
		"too long":        {`{"content":"` + strings.Repeat(long, 4) + `","content_type":"text/plain","ttl_seconds":3600}`, "content must be at most 10485760 bytes, and is 11468800", api.CodeValidation},
		"bad base64":      {`{"files":[{"name":"a","content":"` + long + `","encoding":"base64","content_type":"a/b"}],"ttl_seconds":60}`, "files[0].content must be base64", api.CodeValidation},
		"long metadata":   {`{"content":"x","content_type":"text/plain","ttl_seconds":60,"metadata":{"a":"` + long + `"}}`, "metadata must be at most 1024 bytes when serialized, and is 2867208", api.CodeValidation},
		"a long name":     {`{"files":[{"content":"","content_type":"a/b","name":"` + long + `"}],"ttl_seconds":60}`, "must be at most 255 bytes", api.CodeValidation},
		"ends early":      {`{"content":"` + long, "is not valid JSON: it ends early", api.CodeValidation},
		"not UTF-8":       {`{"content":"` + long + "\xff" + `"}`, "is not valid UTF-8", api.CodeValidation},
		"half a pair":     {`{"content":"` + long + `\ud800"}`, "half a surrogate pair", api.CodeValidation},
		"twice":           {`{"content":"` + long + `","content":1}`, "names a member of an object twice", api.CodeValidation},
		"twice in a file": {`{"files":[{"content":"` + long + `","content":""}]}`, "names a member of an object twice", api.CodeValidation},
		"not JSON inside": {`{"content":["` + long + `" "x"]}`, "is not valid JSON", api.CodeValidation},
		"more after it":   {`{"content":"` + long + `"} {}`, "data after its JSON object", api.CodeValidation},
		"no object":       {`["` + long + `"]`, "must be a JSON object", api.CodeValidation},
	} {
		a := r.call("POST", api.PathKubbis, tt.body)
		t.Run(name, func(t *testing.T) { wantError(t, a, tt.code, tt.want) })
		if bytes.Contains(a.body, []byte("p4yl0ad")) {
			t.Errorf("%s: the answer quotes the body", name)
		}
	}
	if n := r.total(); n != 0 {
		t.Errorf("%d kubbis were made", n)
	}
}

// total is the number of kubbis.
func (r rig) total() int {
	r.t.Helper()
	var l api.ListResponse
	decode(r.t, r.call("GET", api.PathKubbis, "").body, &l)
	return l.Pagination.Total
}

// TestLargeCreateCancelled checks that a sender who goes away half way leaves no kubbi.
func TestLargeCreateCancelled(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := errors.New("gone")
	half := io.MultiReader(strings.NewReader(`{"content_type":"text/plain","ttl_seconds":60,"content":"`+strings.Repeat("x", 3<<20)), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, gone
	}))
	req, err := http.NewRequestWithContext(ctx, "POST", r.URL+api.PathKubbis, half)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.APIKey)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
		t.Fatalf("answered with %d", resp.StatusCode)
	}
	if n := r.total(); n != 0 {
		t.Errorf("%d kubbis were made", n)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
