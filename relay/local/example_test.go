package local_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"kubbi-mcp/relay/local"
)

// A client whose transport is the relay's reaches it without a network. The relay opens
// its data directory on the first request.
func ExampleRelay_RoundTripper() {
	dir, err := os.MkdirTemp("", "kubbi-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	r, err := local.New(local.Config{Dir: filepath.Join(dir, "data"), Origin: "http://127.0.0.1:7117"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	client := &http.Client{Transport: r.RoundTripper(http.DefaultTransport)}
	resp, err := client.Post("http://127.0.0.1:7117/api/v1/kubbis", "application/json",
		strings.NewReader(`{"content":"hello","content_type":"text/plain","ttl_seconds":60}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 201 Created
}
