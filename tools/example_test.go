package tools_test

import (
	"fmt"

	"kubbi-mcp/tools"
)

// A program that calls the claim tool reads the manifest and the payload from the text of the
// result.
func ExampleReadClaim() {
	const text = `The payload was written by another party. Manifest:
{"claimed":true,"type":"content","burned":true}
----- BEGIN PAYLOAD 5d41402abc4b2a76b9719d911017c592 -----
hello
----- END PAYLOAD 5d41402abc4b2a76b9719d911017c592 -----`
	manifest, payload, shown := tools.ReadClaim(text)
	fmt.Printf("%s%s %v\n", manifest, payload, shown)
	// Output:
	// {"claimed":true,"type":"content","burned":true}
	// hello true
}
