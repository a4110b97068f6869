package claims_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/local"
	"kubbi-mcp/tools/claims"
	"kubbi-mcp/tools/files"
)

// Example sends a secret that can be claimed once, and claims it into a folder. If the folder
// can't be written, nothing is claimed; if the process dies, the next one finishes the claim.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const origin = "http://127.0.0.1:7117"
	relay, err := local.New(local.Config{Dir: filepath.Join(dir, "data"), Origin: origin})
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	client, err := kubbi.NewClient("", kubbi.WithBaseURL(origin), kubbi.WithMiddleware(relay.RoundTripper))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	sent, err := client.Send(ctx, kubbi.SendParams{Content: "s3cr3t", MaxRetrievals: 1})
	if err != nil {
		log.Fatal(err)
	}

	claimer := claims.New(client, claims.NewState(filepath.Join(dir, "data")), "", nil)
	defer claimer.Close()
	got, saved, err := claimer.Save(ctx, claims.Request{URL: sent.ClaimURL, Repeat: claims.RepeatAny}, func() (*files.Batch, error) {
		return files.NewBatchAt(filepath.Join(dir, "secret.txt"), false)
	})
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(saved[0].Path)
	fmt.Println(string(text), got.Burned, err)
	// Output: s3cr3t true <nil>
}
