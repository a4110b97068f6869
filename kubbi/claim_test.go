package kubbi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestRemaining(t *testing.T) {
	tests := []struct {
		header string
		burned bool
		left   int // -1: nil
		known  bool
	}{
		{"", false, -1, false},
		{"", true, 0, true},
		{"0", true, 0, true},
		{"7", true, 0, true},
		{"3", false, 3, true},
		{"unlimited", false, -1, true},
		{"-1", false, -1, false},
		{"many", false, -1, false},
		{"99999999999", false, -1, false},
	}
	for _, tt := range tests {
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if tt.header != "" {
				w.Header().Set(api.HeaderRemainingReads, tt.header)
			}
			cl := okClaim
			cl.Burned = tt.burned
			answer(w, 200, cl)
		})
		got, err := c.Claim(context.Background(), testToken, looked())
		if err != nil {
			t.Fatal(err)
		}
		left := -1
		if got.Remaining != nil {
			left = *got.Remaining
		}
		if left != tt.left || got.RemainingKnown != tt.known {
			t.Errorf("header %q, burned %v: %d left, known %v; want %d, %v", tt.header, tt.burned, left, got.RemainingKnown, tt.left, tt.known)
		}
	}
}

// A claim gives what the server wrote, to the byte, and makes up nothing that is absent.
func TestClaimContent(t *testing.T) {
	big := `{"a": [` + strings.Repeat(`1e999 , `, 2000) + `1]}`
	for name, tt := range map[string]struct{ body, content, text string }{
		"text":        {`{"content":"h\u00e9 \"x\"","content_type":"text/plain","metadata":null}`, `"h\u00e9 \"x\""`, `hé "x"`},
		"empty":       {`{"content":"","content_type":"text/plain"}`, `""`, ""},
		"null":        {`{"content":null,"content_type":"application/json"}`, `null`, "null"},
		"object":      {`{"content": { "b":1, "a" :2.0 } ,"content_type":"application/json"}`, `{ "b":1, "a" :2.0 }`, `{ "b":1, "a" :2.0 }`},
		"duplicates":  {`{"content":{"a":1,"a":2}}`, `{"a":1,"a":2}`, `{"a":1,"a":2}`},
		"large":       {`{"created_at":"2026-03-28T12:00:00.000Z","content":` + big + `,"new_field":[1,{"x":2}],"metadata":{"k":1}}`, big, big},
		"large first": {`{"content":"` + strings.Repeat("x", 9000) + `"}`, `"` + strings.Repeat("x", 9000) + `"`, strings.Repeat("x", 9000)},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(tt.body)) })
			got, err := c.Claim(context.Background(), testToken, looked())
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Content) != tt.content || got.Text() != tt.text {
				t.Errorf("content is %.100s, text %.100s", got.Content, got.Text())
			}
			if name == "text" && got.Metadata != nil {
				t.Errorf("metadata of null is %q, want nil", got.Metadata)
			}
			if name == "large" && string(got.Metadata) != `{"k":1}` {
				t.Errorf("metadata is %q", got.Metadata)
			}
			if cap(got.Content) > len(got.Content)+8 {
				t.Errorf("an append to the content would write into the answer")
			}
		})
	}
	var v struct{ A []int }
	cl := Claimed{ClaimResponse: api.ClaimResponse{Content: json.RawMessage(`{"A":[1,2]}`)}}
	if err := cl.Decode(&v); err != nil || len(v.A) != 2 {
		t.Errorf("Decode: %v, %v", v, err)
	}
}

func TestClaimPackage(t *testing.T) {
	role := "data"
	n := 2
	want := api.ClaimResponse{Type: api.TypePackage, FileCount: &n, Files: []api.ClaimedFile{
		{Name: "a.txt", ContentType: api.TypeText, SizeBytes: 5, Content: "hello", Role: &role},
		{Name: "b.bin", ContentType: "image/png", SizeBytes: 2, Content: "AAE=", Encoding: api.EncodingBase64},
	}, Burned: true}
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, 200, want) })
	got, err := c.Claim(context.Background(), testToken, looked())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Files) != 2 || got.Files[0] != want.Files[0] && *got.Files[0].Role != role || got.Files[1].Content != "AAE=" || !got.Burned || got.Content != nil {
		t.Errorf("claimed %+v", got)
	}
}

// A claim that ends in "gone" after an attempt without an answer says that it may have
// caused that itself. A claim whose first answer is "gone" does not.
func TestUncertainClaim(t *testing.T) {
	for name, f := range failures() {
		gone := func(w http.ResponseWriter, _ *http.Request) { refuse(w, api.CodeGone, "burned") }
		var s seen
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if s.add(r) == 1 {
				f(w, r)
				return
			}
			gone(w, r)
		})
		_, err := c.Claim(context.Background(), testToken, looked())
		wantOnly(t, err, ErrGone)
		e := asError(t, err)
		if want := name != "503"; e.Uncertain != want || strings.Contains(err.Error(), "may have been carried out") != want {
			t.Errorf("%s, then gone: uncertain %v: %v", name, e.Uncertain, err)
		}
		_, err = c.Claim(context.Background(), testToken, looked())
		if e := asError(t, err); e.Uncertain {
			t.Errorf("gone at once: %v", err)
		}
	}
}

func TestAnswerLimit(t *testing.T) {
	body := `{"content":"` + strings.Repeat("x", 1000) + `"}`
	for _, sized := range []bool{true, false} {
		h := func(w http.ResponseWriter, r *http.Request) {
			if sized {
				w.Header().Set("Content-Length", itoa(len(body)))
			} else {
				w.(http.Flusher).Flush()
			}
			w.Write([]byte(body))
		}
		c, _ := serve(t, h, WithMemoryLimit(int64(len(body))))
		if _, err := c.Claim(context.Background(), testToken, looked()); err != nil {
			t.Errorf("at the limit: %v", err)
		}
		var s seen
		c, _ = serve(t, func(w http.ResponseWriter, r *http.Request) { s.add(r); h(w, r) }, WithMemoryLimit(int64(len(body)-1)))
		_, err := c.Claim(context.Background(), testToken, looked())
		wantOnly(t, err, nil)
		if e := asError(t, err); e.Status != 200 || !strings.Contains(e.Message, "limit of "+itoa(len(body)-1)+" bytes") || len(s.all()) != 1 {
			t.Errorf("over the limit: %v after %d requests", err, len(s.all()))
		} else if !e.Uncertain {
			t.Error("over the limit: the error does not say that the claim may have counted")
		}
	}
}
