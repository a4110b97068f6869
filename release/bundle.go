package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// bundleScript starts the binary for this machine. A bundle can name a program for each
// system, but not for each processor. (Windows on arm64 runs programs for amd64.)
const bundleScript = `#!/bin/sh
case $(uname -s)-$(uname -m) in
Darwin-arm64) p=darwin_arm64 ;;
Darwin-*) p=darwin_amd64 ;;
Linux-aarch64 | Linux-arm64) p=linux_arm64 ;;
*) p=linux_amd64 ;;
esac
exec "${0%/*}/$p" "$@"
`

// bundleField is a field of the form that Claude Desktop shows for a bundle.
type bundleField struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
	Multiple    bool   `json:"multiple,omitempty"`
	Sensitive   bool   `json:"sensitive,omitempty"`
}

// makeBundle makes the bundle for Claude Desktop on all platforms.
func (r *release) makeBundle() error {
	form, env, args := map[string]bundleField{}, map[string]string{}, []string{"serve"}
	for _, s := range r.about.Settings {
		if s.Title == "" {
			continue
		}
		name := strings.ReplaceAll(s.Name, "-", "_")
		types := map[string]string{"folder": "directory", "boolean": "boolean", "number": "number"}
		f := bundleField{Type: types[s.Type], Title: s.Title, Description: s.Help, Multiple: s.Repeatable, Sensitive: s.Type == "secret"}
		if f.Type == "" {
			f.Type = "string"
		}
		form[name] = f
		// A field that was left blank stays a placeholder, which the program counts as not given.
		if value := "${user_config." + name + "}"; s.Repeatable {
			args = append(args, value) // becomes one argument for each value
		} else {
			env[s.Variable] = value
		}
	}
	type tool struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	var tools []tool
	for _, t := range r.about.Tools {
		tools = append(tools, tool{t.Name, t.Description})
	}
	start := "${__dirname}/server/" + r.about.Name
	m, err := json.MarshalIndent(map[string]any{
		"manifest_version": "0.3",
		"name":             r.about.Name, "display_name": r.about.Title, "version": r.version(),
		"description": r.about.Description, "long_description": r.about.Description + " " + r.about.About,
		"author": map[string]string{"name": r.texts.holder}, "homepage": r.homepage(), "license": r.texts.licenceID, "keywords": keywords,
		"server": map[string]any{
			"type": "binary", "entry_point": "server/" + r.about.Name,
			"mcp_config": map[string]any{
				"command": start, "args": args, "env": env,
				"platform_overrides": map[string]any{"win32": map[string]string{"command": start + ".exe"}},
			},
		},
		"tools": tools, "prompts_generated": true, "user_config": form,
		"compatibility": map[string]any{"platforms": []string{"darwin", "win32", "linux"}},
	}, "", "  ")
	if err != nil {
		return err
	}
	entries := []entry{
		{name: "manifest.json", mode: 0o644, content: append(m, '\n')},
		{name: "server/" + r.about.Name, mode: 0o755, content: []byte(bundleScript)},
	}
	for _, p := range platforms {
		switch {
		case p.os != "windows":
			entries = append(entries, entry{name: "server/" + p.String(), mode: 0o755, source: r.binaries[p]})
		case p.arch == "amd64":
			entries = append(entries, entry{name: "server/" + p.exe(r.about.Name), mode: 0o755, source: r.binaries[p]})
		}
	}
	b, err := zipFile(r.when, append(entries, r.documents()...))
	if err != nil {
		return err
	}
	return r.write(b, r.bundleName())
}

func (r *release) bundleName() string { return fmt.Sprintf("%s_%s.mcpb", r.about.Name, r.version()) }
