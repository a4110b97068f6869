package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// launcher starts the binary of the platform's package.
//
//go:embed launcher.js
var launcher []byte

// nodeNames are Node.js's words for a platform.
var nodeNames = map[string]string{"darwin": "darwin", "linux": "linux", "windows": "win32", "amd64": "x64", "arm64": "arm64"}

func (p platform) node() string { return nodeNames[p.os] + "-" + nodeNames[p.arch] }

// nodePackage is a package.json.
type nodePackage struct {
	Name         string            `json:"name"`
	Version      string            `json:"version"`
	Description  string            `json:"description"`
	License      string            `json:"license"`
	Author       string            `json:"author"`
	Homepage     string            `json:"homepage"`
	Keywords     []string          `json:"keywords,omitempty"`
	MCPName      string            `json:"mcpName,omitempty"` // says whose it is to the MCP registry
	Bin          map[string]string `json:"bin,omitempty"`
	OS           []string          `json:"os,omitempty"`
	CPU          []string          `json:"cpu,omitempty"`
	Files        []string          `json:"files"`
	Engines      map[string]string `json:"engines,omitempty"`
	Optional     map[string]string `json:"optionalDependencies,omitempty"`
	PreferUnplug bool              `json:"preferUnplugged,omitempty"` // Yarn must not keep a binary in a zip
}

// makeNode makes a package for npm with the launcher, and one with the binary for each
// platform. npm installs the one that fits, as it does any dependency: no script runs, and
// nothing else is downloaded.
func (r *release) makeNode() error {
	main := r.nodePackage(r.about.Name)
	main.MCPName, main.Keywords = r.serverName(), keywords
	main.Bin = map[string]string{r.about.Name: "launcher.js"}
	main.Files = []string{"launcher.js"}
	main.Engines = map[string]string{"node": ">=18"}
	main.Optional = map[string]string{}
	for _, p := range platforms {
		main.Optional[r.about.Name+"-"+p.node()] = r.version()
		one := r.nodePackage(r.about.Name + "-" + p.node())
		one.OS, one.CPU, one.PreferUnplug = []string{nodeNames[p.os]}, []string{nodeNames[p.arch]}, true
		file := p.exe(r.about.Name)
		one.Files = []string{"bin"}
		if err := r.packNode(one, entry{name: "bin/" + file, mode: 0o755, source: r.binaries[p]}); err != nil {
			return err
		}
	}
	return r.packNode(main, entry{name: "launcher.js", mode: 0o755, content: launcher})
}

func (r *release) nodePackage(name string) nodePackage {
	return nodePackage{Name: name, Version: r.version(), Description: r.about.Description, License: r.texts.licenceID, Author: r.texts.holder, Homepage: r.homepage()}
}

func (r *release) packNode(p nodePackage, program entry) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	entries := append([]entry{{name: "package.json", mode: 0o644, content: append(b, '\n')}, program}, r.documents()...)
	packed, err := tarGz(r.when, below("package", entries))
	if err != nil {
		return err
	}
	return r.write(packed, "npm", fmt.Sprintf("%s-%s.tgz", p.Name, p.Version))
}
