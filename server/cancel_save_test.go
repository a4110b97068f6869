package server

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// TestCancelSave cancels a claim that saves a large payload, after its first progress
// notification. No part of a file is left, and the payload can be claimed again.
func TestCancelSave(t *testing.T) {
	client, _ := newClient(t)
	dir := t.TempDir()
	allowed, err := files.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, Config{
		Client: client,
		Files:  files.Rules{Folders: []files.Folder{allowed}},
		State:  claims.NewState(filepath.Join(t.TempDir(), "state")),
	})
	p.handshake(t)

	random := make([]byte, 16<<20)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	content := hex.EncodeToString(random)
	sent, err := client.SendFiles(t.Context(), kubbi.SendFilesParams{
		Files:         []kubbi.File{{Name: "large.txt", ContentType: "text/plain", Content: content}},
		MaxRetrievals: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	claim := func(id int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"claim","_meta":{"progressToken":%d},"arguments":{"claim_url":%q,"save_to":"in"}}}`,
			id, id, sent.ClaimURL)
	}
	p.send(t, claim(1))
	if line := p.receive(t); !bytes.Contains(line, []byte("notifications/progress")) {
		t.Fatalf("%.300s", line)
	}
	p.send(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	p.send(t, claim(2))
	for {
		line := p.receive(t)
		if bytes.Contains(line, []byte("notifications/progress")) {
			continue
		}
		if !bytes.Contains(line, []byte(`"id":2`)) || bytes.Contains(line, []byte(`"isError":true`)) {
			t.Fatalf("%.500s", line)
		}
		break
	}
	all, err := os.ReadDir(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Name() != "large.txt" {
		t.Errorf("the folder has %v", all)
	}
	got, err := os.ReadFile(filepath.Join(dir, "in", "large.txt"))
	if err != nil || string(got) != content {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	k, err := client.Get(t.Context(), sent.ID)
	if err != nil || k.RetrievalCount != 1 || strings.Contains(string(k.Status), "active") {
		t.Errorf("%+v, %v", k, err)
	}
}
