package page_test

import (
	"fmt"
	"strings"

	"kubbi-mcp/relay/page"
)

// A page is written as HTML, and SetHeaders sets the policy that goes with it.
func ExampleProblem() {
	p := page.Problem{Reason: page.Burned}
	var html strings.Builder
	if err := p.Write(&html); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.Contains(html.String(), "<h1>Already opened</h1>"))
	// Output: true
}
