package tools

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// keeper is a caller that keeps handles in a data directory and may send variables.
type keeper struct {
	*caller
	t     *testing.T
	state string
	out   string // a folder that it may write

	all string // everything that the client has seen
}

// here is the public key of the keeper's machine.
var here = kubbi.GenerateIdentity().Recipient()

func newKeeper(t *testing.T, client *kubbi.Client, state, who string, variables Variables) *keeper {
	t.Helper()
	folder, err := files.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	claimer := claims.New(client, claims.NewState(state), who, nil)
	t.Cleanup(claimer.Close)
	c := &caller{}
	c.register(t, Config{
		Client: client, Claims: claimer, Files: files.Rules{Folders: []files.Folder{folder}}, Variables: variables,
		PublicKey: func(context.Context) string { return here.String() },
	})
	return &keeper{caller: c, t: t, state: state, out: folder.Real()}
}

// do calls a tool, and gives the text of its result.
func (k *keeper) do(tool string, arguments map[string]any) (text string, failed bool) {
	k.t.Helper()
	b, err := json.Marshal(arguments)
	if err != nil {
		k.t.Fatal(err)
	}
	res := k.call(k.t, tool, string(b))
	whole, err := AppendResult(nil, res)
	if err != nil {
		k.t.Fatal(err)
	}
	k.all += string(whole)
	return textOf(k.t, res), res.IsError
}

// sent calls send or send_files, and gives the id.
func (k *keeper) sent(tool string, arguments map[string]any) (id string) {
	k.t.Helper()
	text, failed := k.do(tool, arguments)
	var out struct {
		ID       string
		ClaimURL *string `json:"claim_url"`
		Handle   string
	}
	if err := json.Unmarshal([]byte(text), &out); failed || err != nil || out.ClaimURL != nil || !strings.Contains(out.Handle, out.ID) {
		k.t.Fatalf("%s: %v, %s", tool, err, text)
	}
	return out.ID
}

// handle reads a handle from the data directory.
func (k *keeper) handle(id string) (handles.Handle, error) {
	return handles.New(k.state, "").Get(k.t.Context(), id)
}

// holdsNo checks that the client has seen none of these texts.
func (k *keeper) holdsNo(texts ...string) {
	k.t.Helper()
	for _, text := range texts {
		if text == "" || strings.Contains(k.all, text) {
			k.t.Errorf("%q was shown: %s", text, k.all)
		}
	}
}

// TestHandle sends with handle: true, and uses the id as a claim URL.
func TestHandle(t *testing.T) {
	client := relayClient(t)
	k := newKeeper(t, client, t.TempDir(), "", Variables{})
	for name, sealed := range map[string]bool{"plain": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			id := k.sent("send", map[string]any{"content": "to be used once", "handle": true, "max_retrievals": 1, "sealed": sealed})
			h, err := k.handle(id)
			if err != nil || h.Kind != handles.Send || sealed != strings.Contains(h.ClaimURL, "#") {
				t.Fatalf("%v, %v", h, err)
			}
			if text, failed := k.do("inspect", map[string]any{"claim_url": id}); failed || !strings.Contains(text, `"remaining_reads":1`) {
				t.Errorf("inspect: %s", text)
			}
			if text, failed := k.do("claim", map[string]any{"claim_url": "kubbi://" + id}); failed || !strings.Contains(text, "to be used once") {
				t.Errorf("claim: %s", text)
			}
			// Until the grace is over, the id repeats the claim.
			if text, failed := k.do("claim", map[string]any{"claim_url": id, "again": true}); failed || !strings.Contains(text, "to be used once") {
				t.Errorf("claim again: %s", text)
			}
			if text, failed := k.do("claim", map[string]any{"claim_url": id, "save_to": filepath.Join(k.out, name)}); failed || !strings.Contains(text, `"sha256"`) {
				t.Errorf("save: %s", text)
			}
			if _, err := k.handle(id); !errors.Is(err, handles.ErrNotFound) {
				t.Errorf("the handle is kept: %v", err)
			}
			if text, failed := k.do("claim", map[string]any{"claim_url": id}); !failed || !strings.HasPrefix(text, "No claim URL is kept for this id.") || k.outcome != string(api.CodeNotFound) && k.outcome != "" {
				t.Errorf("claim once more: %s", text)
			}
			u, err := kubbi.ParseClaimURL(h.ClaimURL)
			if err != nil {
				t.Fatal(err)
			}
			k.holdsNo(u.Token())
			if sealed {
				k.holdsNo(u.Fragment())
			}
		})
	}
}

// TestHandleStays keeps a handle as long as its kubbi can be claimed, and forgets it when its
// kubbi is deleted.
func TestHandleStays(t *testing.T) {
	client := relayClient(t)
	k := newKeeper(t, client, t.TempDir(), "", Variables{})
	id := k.sent("send_files", map[string]any{"files": []any{map[string]any{"name": "a.txt", "content": "twice"}}, "handle": true, "max_retrievals": 3})
	for _, folder := range []string{"1", "2"} {
		if text, failed := k.do("claim", map[string]any{"claim_url": id, "save_to": filepath.Join(k.out, folder)}); failed {
			t.Error(text)
		}
	}
	if _, err := k.handle(id); err != nil {
		t.Error(err)
	}
	if text, failed := k.do("delete", map[string]any{"id": id}); failed {
		t.Error(text)
	}
	if _, err := k.handle(id); !errors.Is(err, handles.ErrNotFound) {
		t.Errorf("after delete: %v", err)
	}
}

// TestHandleIsCallers checks that no other caller of a server can use an id.
func TestHandleIsCallers(t *testing.T) {
	client, state := relayClient(t), t.TempDir()
	ann, bob := newKeeper(t, client, state, "ann", Variables{}), newKeeper(t, client, state, "bob", Variables{})
	id := ann.sent("send", map[string]any{"content": "Ann's", "handle": true})
	for _, tool := range []string{"claim", "inspect"} {
		if text, failed := bob.do(tool, map[string]any{"claim_url": id}); !failed || !strings.HasPrefix(text, "No claim URL is kept for this id.") {
			t.Errorf("%s: %s", tool, text)
		}
	}
	if text, failed := ann.do("claim", map[string]any{"claim_url": id}); failed {
		t.Error(text)
	}
}

// TestHandleNotKept checks that nothing stays at the relay if the claim URL can't be kept.
func TestHandleNotKept(t *testing.T) {
	client, state := relayClient(t), t.TempDir()
	k := newKeeper(t, client, state, "", Variables{})
	if err := os.WriteFile(filepath.Join(state, "handles"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text, failed := k.do("send", map[string]any{"content": "x", "handle": true})
	if !failed || !strings.HasPrefix(text, "Nothing was sent: the data directory can't be written") {
		t.Error(text)
	}
	page, err := client.List(t.Context(), kubbi.ListParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range page.Kubbis {
		if one.Status == api.StatusActive {
			t.Errorf("left at the relay: %v", one.ID)
		}
	}
	without := newCaller(t, "", "http://127.0.0.1:1")
	if text := textOf(t, without.call(t, "send", `{"content":"x","handle":true}`)); !strings.Contains(text, "needs a data directory") {
		t.Error(text)
	}
}

// TestAnswerWithSecrets checks that no tool shows or saves the answer to a request if a field is
// secret, and that nothing is spent.
func TestAnswerWithSecrets(t *testing.T) {
	client, state := relayClient(t), t.TempDir()
	k := newKeeper(t, client, state, "", Variables{})
	for _, secret := range []bool{true, false} { // a plain value is shown at the end
		sent, err := client.Send(t.Context(), kubbi.SendParams{Content: json.RawMessage(`{"KEY":"the value"}`), ContentType: api.TypeJSON, MaxRetrievals: 1, Sealed: true})
		if err != nil {
			t.Fatal(err)
		}
		id := uuid.NewString()
		err = handles.New(state, "").Put(t.Context(), handles.Handle{
			ID: id, Kind: handles.Request, ClaimURL: sent.ClaimURL, AnswerID: sent.ID, Fields: []api.Field{{Name: "KEY", Secret: secret}}, ExpiresAt: time.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		if !secret {
			if text, failed := k.do("claim", map[string]any{"claim_url": id}); failed || !strings.Contains(text, "the value") {
				t.Errorf("a plain value: %s", text)
			}
			continue
		}
		for _, arguments := range []map[string]any{
			{}, {"again": true}, {"images": "inline"}, {"save_to": k.out}, {"save_to": k.out, "again": true},
			{"save_to": k.out, "overwrite": true}, {"save_to": "received"},
		} {
			arguments["claim_url"] = id
			text, failed := k.do("claim", arguments)
			if !failed || !strings.Contains(text, "neither here nor in a file") || !strings.Contains(text, "kubbi-mcp run --env-from "+id) {
				t.Errorf("%v: %s", arguments, text)
			}
		}
		for _, tool := range []string{"inspect", "get", "list"} {
			k.do(tool, map[string]map[string]any{"inspect": {"claim_url": id}, "get": {"id": sent.ID}}[tool])
		}
		k.holdsNo("the value")
		for _, path := range append(testkit.FilesIn(t, k.out), testkit.FilesIn(t, state)...) {
			if b, err := os.ReadFile(path); err != nil || strings.Contains(string(b), "the value") {
				t.Errorf("%s holds the value, or %v", path, err)
			}
		}
		if seen, err := client.Inspect(t.Context(), sent.ClaimURL); err != nil || seen.RetrievalCount != 0 {
			t.Errorf("spent: %v, %v", seen, err)
		}
	}
}

// TestVariable sends variables. The value is never shown, and neither is whether a variable
// that is not allowed is set.
func TestVariable(t *testing.T) {
	client := relayClient(t)
	env := map[string]string{"ALLOWED": "canary-4711", "EMPTY": "", "JSON": `{"a":1}`, "FORBIDDEN": "canary-4712", "BYTES": "canary-\xff"}
	k := newKeeper(t, client, t.TempDir(), "", Variables{
		Allowed: []string{"ALLOWED", "EMPTY", "UNSET", "JSON", "BYTES"},
		Lookup:  func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	id := k.sent("send", map[string]any{"env": "ALLOWED", "content": "", "handle": false})
	h, err := k.handle(id)
	if err != nil || h.Variable != "ALLOWED" {
		t.Fatal(h, err)
	}
	for _, arguments := range []map[string]any{{"claim_url": id}, {"claim_url": id, "save_to": k.out}} {
		if text, failed := k.do("claim", arguments); !failed || !strings.Contains(text, "kubbi-mcp run --env ALLOWED="+id) {
			t.Errorf("claim: %s", text)
		}
	}
	got, err := client.Claim(t.Context(), h.ClaimURL)
	if err != nil || string(got.Content) != `"canary-4711"` || !got.Sealed() || !got.Burned {
		t.Errorf("%v, %v", got, err)
	}
	asJSON, err := k.handle(k.sent("send", map[string]any{"env": "JSON", "content_type": api.TypeJSON, "max_retrievals": 2}))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.Claim(t.Context(), asJSON.ClaimURL); err != nil || got.ContentType != api.TypeJSON || got.Burned {
		t.Errorf("%v, %v", got, err)
	}
	// With to, the claim URL is of no use to this machine, unless the machine is a recipient.
	other := kubbi.GenerateIdentity().Recipient().String()
	if h, err = k.handle(k.sent("send", map[string]any{"env": "ALLOWED", "to": []string{other, here.String()}})); err != nil || h.Variable != "ALLOWED" {
		t.Error(h, err)
	}
	if text, failed := k.do("send", map[string]any{"env": "ALLOWED", "to": other}); failed || !strings.Contains(text, `"claim_url":"`) || strings.Contains(text, "#") {
		t.Errorf("to another: %s", text)
	}
	refusals := map[string]string{}
	for name, want := range map[string]string{
		"EMPTY":        "is allowed, and empty",
		"UNSET":        "is allowed, and not set",
		"BYTES":        "no text",
		"FORBIDDEN":    "is none of the variables that your user allows, which are ALLOWED, EMPTY",
		"NOTFORBIDDEN": "is none of the variables that your user allows, which are ALLOWED, EMPTY",
		"allowed":      "--allow-env allowed",
		"A=B":          "env must be the name",
	} {
		text, failed := k.do("send", map[string]any{"env": name})
		if !failed || !strings.Contains(text, want) {
			t.Errorf("%s: %s", name, text)
		}
		refusals[name] = strings.ReplaceAll(text, name, "X")
	}
	if refusals["FORBIDDEN"] != refusals["NOTFORBIDDEN"] {
		t.Errorf("it is told whether a forbidden one is set: %q", refusals)
	}
	for _, both := range []map[string]any{{"env": "ALLOWED", "content": "x"}, {"env": "ALLOWED", "path": "/x"}} {
		if text, failed := k.do("send", both); !failed || !strings.Contains(text, "Give one of content, path and env") {
			t.Error(text)
		}
	}
	none := newKeeper(t, client, t.TempDir(), "", Variables{})
	if text, failed := none.do("send", map[string]any{"env": "FORBIDDEN"}); !failed || !strings.Contains(text, "allows no variable") {
		t.Error(text)
	}
	k.holdsNo("canary-")
	for _, path := range testkit.FilesIn(t, k.state) {
		if b, err := os.ReadFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) || strings.Contains(string(b), "canary-") {
			t.Errorf("%s holds the value, or %v", path, err)
		}
	}
}
