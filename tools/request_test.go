package tools

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/kubbi"
)

// TestRequestArguments makes requests as hosts and models write them, and checks what whoever
// answers is asked for.
func TestRequestArguments(t *testing.T) {
	client := relayClient(t)
	k := newKeeper(t, client, t.TempDir(), "", Variables{})
	for arguments, want := range map[string]string{
		`{"message":"m","fields":["A_KEY"]}`:                                           "A_KEY secret; 3600",
		`{"message":"m","fields":"A_KEY"}`:                                             "A_KEY secret; 3600",
		`{"message":"m","fields":"USER, PASSWORD"}`:                                    "USER secret; PASSWORD secret; 3600",
		`{"message":"m","fields":["USER","PASSWORD"],"files":false}`:                   "USER secret; PASSWORD secret; 3600",
		`{"message":"m","fields":"[\"USER\",{\"name\":\"PEM\",\"lines\":true}]"}`:      "USER secret; PEM secret lines; 3600",
		`{"message":"m","fields":{"Name":"A","Secret":"false"},"ttlSeconds":"10m"}`:    "A; 600",
		`{"message":"m","fields":[{"name":"A","secret":null,"lines":""}]}`:             "A secret; 3600",
		`{"message":"m","fields":[],"files":true}`:                                     "files; 3600",
		`{"message":"m","fields":null,"files":"true","notify":"","reason":"a host's"}`: "files; 3600",
	} {
		var out requestOutput
		res := k.call(t, "request", arguments)
		if err := json.Unmarshal(res.RawStructuredContent, &out); err != nil {
			t.Errorf("%s: %v: %s", arguments, err, textOf(t, res))
			continue
		}
		q, err := client.Question(t.Context(), out.RequestURL)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, f := range q.Fields {
			got.WriteString(f.Name)
			if f.Secret {
				got.WriteString(" secret")
			}
			if f.Lines {
				got.WriteString(" lines")
			}
			got.WriteString("; ")
		}
		if q.Files {
			got.WriteString("files; ")
		}
		fmt.Fprintf(&got, "%.0f", q.ExpiresAt.Sub(q.CreatedAt.Time).Seconds())
		if got.String() != want || q.Message != "m" || q.Recipient.Fingerprint() != out.Fingerprint {
			t.Errorf("%s asks for %q %s, want %s", arguments, q.Message, &got, want)
		}
		h, err := k.handle(out.RequestID)
		if err != nil || h.Message != "m" || h.Files != q.Files || len(h.Fields) != len(q.Fields) || !strings.Contains(h.ClaimURL, "#i=") {
			t.Errorf("%s: kept: %v, %v", arguments, h, err)
		}
		if strings.Contains(textOf(t, res), "/r/") || strings.Contains(textOf(t, res), "#i=") {
			t.Errorf("%s: the claim URL is shown: %s", arguments, textOf(t, res))
		}
	}
}

// TestRequestNotKept checks that no request stays at the relay if the key of its answer can't
// be kept.
func TestRequestNotKept(t *testing.T) {
	client, state := relayClient(t), t.TempDir()
	k := newKeeper(t, client, state, "", Variables{})
	if err := os.WriteFile(filepath.Join(state, "handles"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	asked, err := Ask(t.Context(), client, handles.New(state, ""), kubbi.AskParams{Message: "m", Files: true})
	if asked != nil || err == nil {
		t.Errorf("%v, %v", asked, err)
	}
	text, failed := k.do("request", map[string]any{"message": "m", "fields": []string{"A"}})
	if !failed || !strings.HasPrefix(text, "Nothing was sent: the data directory can't be written") {
		t.Error(text)
	}
	without := newCaller(t, "", "http://127.0.0.1:1")
	if text := textOf(t, without.call(t, "request", `{"message":"m","fields":["A"]}`)); !strings.Contains(text, "needs a data directory") {
		t.Error(text)
	}
}

// TestRequestAtOtherService asks at a service without requests, such as the hosted one. The
// id of a kubbi that is not there is answered as always.
func TestRequestAtOtherService(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":"not_found","message":"Cannot POST"}`)
	}))
	t.Cleanup(srv.Close)
	client := newClient(t, "kb_test", srv.URL)
	k := newKeeper(t, client, t.TempDir(), "", Variables{})
	text, failed := k.do("request", map[string]any{"message": "m", "fields": []string{"A"}})
	if !failed || !strings.HasPrefix(text, "Nothing was asked: this service has no requests") || !strings.Contains(text, "kubbi-mcp relay") {
		t.Error(text)
	}
	for _, tool := range []string{"get", "delete"} {
		text, failed := k.do(tool, map[string]any{"id": "00000000-0000-4000-8000-000000000000"})
		if !failed || !strings.HasPrefix(text, "You have sent no kubbi with this id.") {
			t.Errorf("%s: %s", tool, text)
		}
	}
}
