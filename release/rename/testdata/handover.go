// A stranger's program that uses the Go client: handover ORIGIN KEY.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/acme/kubbi-mcp/kubbi"
)

func main() {
	ctx := context.Background()
	client, err := kubbi.NewClient(os.Args[2], kubbi.WithBaseURL(os.Args[1]))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sent, err := client.Send(ctx, kubbi.SendParams{Content: "handed over", MaxRetrievals: 1})
	if err != nil {
		log.Fatal(err)
	}
	got, err := client.Claim(ctx, sent.ClaimURL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Text())
}
