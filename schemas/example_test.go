package schemas_test

import (
	"encoding/json"
	"fmt"
	"log"

	"kubbi-mcp/schemas"
)

func ExampleInput() {
	b, err := schemas.Input("inspect")
	if err != nil {
		log.Fatal(err)
	}
	var schema struct{ Required []string }
	if err := json.Unmarshal(b, &schema); err != nil {
		log.Fatal(err)
	}
	fmt.Println(schema.Required)
	// Output: [claim_url]
}
