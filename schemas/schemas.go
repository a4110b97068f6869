// Package schemas holds the JSON Schemas of the MCP tools' input and output,
// one golden file each: <tool>.input.json and <tool>.output.json.
//
// They are made from the structs in package tools with google/jsonschema-go,
// and frozen here so that nothing is inferred when the server starts and a
// change of the contract shows as a diff. A test in tools infers them again;
// go test ./tools -update rewrites them.
package schemas

import (
	"embed"
	"encoding/json"
	"fmt"
)

//go:embed *.json
var files embed.FS

// Input is the schema of a tool's arguments. The name is the tool's own,
// without a prefix.
func Input(tool string) (json.RawMessage, error) { return read(tool + ".input.json") }

// Output is the schema of a tool's structuredContent.
func Output(tool string) (json.RawMessage, error) { return read(tool + ".output.json") }

func read(file string) (json.RawMessage, error) {
	b, err := files.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return b, nil
}
