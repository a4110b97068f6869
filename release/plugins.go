package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// makePlugins makes the plugin for Claude Code, with a marketplace that has this plugin
// alone, and the extension for Gemini CLI. Both start the npm package, so that each is one
// small file for all platforms.
func (r *release) makePlugins() error {
	name, version := r.about.Name, r.version()
	server := map[string]any{"command": "npx", "args": []string{"-y", name + "@" + version, "serve"}}
	owner := map[string]string{"name": r.texts.holder}
	for file, texts := range map[string]map[string]any{
		r.pluginName(): {
			".claude-plugin/plugin.json": map[string]any{
				"name": name, "version": version, "description": r.about.Description, "author": owner,
				"homepage": r.homepage(), "license": r.texts.licenceID, "keywords": keywords,
				"mcpServers": map[string]any{"kubbi": server},
			},
			".claude-plugin/marketplace.json": map[string]any{
				"name": name, "owner": owner, "metadata": map[string]string{"description": r.about.Description},
				"plugins": []map[string]any{{"name": name, "source": "./", "description": r.about.Description}},
			},
		},
		r.extensionName(): {
			"gemini-extension.json": map[string]any{
				"name": name, "version": version, "description": r.about.Description,
				"mcpServers": map[string]any{"kubbi": server},
			},
		},
	} {
		entries := r.documents()
		for path, text := range texts {
			b, err := json.MarshalIndent(text, "", "  ")
			if err != nil {
				return err
			}
			entries = append(entries, entry{name: path, mode: 0o644, content: append(b, '\n')})
		}
		slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
		b, err := zipFile(r.when, entries)
		if err == nil {
			err = r.write(b, file)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *release) pluginName() string {
	return fmt.Sprintf("%s_%s_claude-code-plugin.zip", r.about.Name, r.version())
}

func (r *release) extensionName() string {
	return fmt.Sprintf("%s_%s_gemini-extension.zip", r.about.Name, r.version())
}
