package schemas_test

import (
	"encoding/json"
	"fmt"
	"log"

	"kubbi-mcp/schemas"
)

// What the tool inspect needs.
func ExampleInput() {
	text, err := schemas.Input("inspect")
	if err != nil {
		log.Fatal(err)
	}
	var schema struct {
		Type     string
		Required []string
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		log.Fatal(err)
	}
	fmt.Println(schema.Type, schema.Required)
	// Output:
	// object [claim_url]
}
