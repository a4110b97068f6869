package testkit

// ToolResult is the result of an MCP tool call as it is on the wire.
type ToolResult struct {
	IsError    bool             `json:"isError"`
	Structured map[string]any   `json:"structuredContent"`
	Content    []map[string]any `json:"content"`
}

// Field gives a string of the structured content, "" if there is none.
func (r *ToolResult) Field(name string) string {
	s, _ := r.Structured[name].(string)
	return s
}

// Text gives the text of the first content block, which a model reads.
func (r *ToolResult) Text() string {
	if len(r.Content) == 0 {
		return ""
	}
	s, _ := r.Content[0]["text"].(string)
	return s
}
