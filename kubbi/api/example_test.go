package api_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

// A create and two claims in plain HTTP, against a relay. The package kubbi does all
// that, and more.
func Example() {
	dir, err := os.MkdirTemp("", "kubbi")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	relay, err := local.New(local.Config{Dir: dir, Origin: "http://127.0.0.1:7117"})
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	srv := httptest.NewServer(relay.Handler())
	defer srv.Close()
	key, err := relay.APIKey(context.Background())
	if err != nil {
		log.Fatal(err)
	}

	body, err := json.Marshal(api.CreateRequest{
		Content: json.RawMessage(`"the door code is 4711"`), ContentType: api.TypeText, TTLSeconds: 600, MaxRetrievals: new(1),
	})
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, srv.URL+api.PathKubbis, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", api.TypeJSON)
	var sent api.CreateResponse
	fmt.Println(do(req, &sent), sent.Status)

	for range 2 {
		req, err := http.NewRequest(http.MethodPost, srv.URL+api.PathClaim+sent.ClaimToken+api.SuffixClaim, nil)
		if err != nil {
			log.Fatal(err)
		}
		var got struct {
			api.ClaimResponse
			api.ErrorBody
		}
		fmt.Println(do(req, &got), cmp.Or(string(got.Content), string(got.Error)))
	}
	// Output:
	// 201 active
	// 200 "the door code is 4711"
	// 410 gone
}

// do sends a request and decodes the answer. It gives the status.
func do(req *http.Request, answer any) int {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		log.Fatal(err)
	}
	return resp.StatusCode
}
