package args_test

import (
	"encoding/json"
	"fmt"
	"log"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/tools/args"
)

// A host sends every number as a string and the names in camel case. That has one meaning, so
// Read accepts it. A misspelled name is refused with the right one.
func ExampleSchema_Read() {
	list, err := args.Load("list")
	if err != nil {
		log.Fatal(err)
	}
	call := func(arguments string) {
		var req mcp.CallToolRequest
		req.Params.RawArguments = json.RawMessage(arguments)
		var in struct {
			Page   args.Int `json:"page"`
			Limit  args.Int `json:"limit"`
			Status string   `json:"status"`
		}
		if err := list.Input.Read(req, &in); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(in.Page, in.Limit, in.Status)
	}
	call(`{"page":"2","Limit":10.0,"status":"Burned"}`)
	call(`{"pgae":2}`)
	// Output:
	// 2 10 burned
	// arguments: unknown "pgae": did you mean page? (known: limit, page, status).
}
