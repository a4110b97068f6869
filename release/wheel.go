package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// wheelTags say for which machines a wheel is. The binaries for Linux are static, so that
// they run with every C library.
var wheelTags = map[platform]string{
	{"darwin", "amd64"}:  "macosx_12_0_x86_64",
	{"darwin", "arm64"}:  "macosx_12_0_arm64",
	{"linux", "amd64"}:   "manylinux2014_x86_64.manylinux_2_17_x86_64.musllinux_1_1_x86_64",
	{"linux", "arm64"}:   "manylinux2014_aarch64.manylinux_2_17_aarch64.musllinux_1_1_aarch64",
	{"windows", "amd64"}: "win_amd64",
	{"windows", "arm64"}: "win_arm64",
}

// pythonVersion is the version in the form of PEP 440.
func (r *release) pythonVersion() string {
	return strings.NewReplacer("-alpha.", "a", "-beta.", "b", "-rc.", "rc", "-dev.", ".dev").Replace(r.version())
}

// makeWheel makes a platform's package for PyPI: the binary as a script, and no Python.
func (r *release) makeWheel(p platform) error {
	module := strings.ReplaceAll(r.about.Name, "-", "_")
	prefix := module + "-" + r.pythonVersion()
	var wheel, metadata strings.Builder
	fmt.Fprintf(&wheel, "Wheel-Version: 1.0\nGenerator: %s/release\nRoot-Is-Purelib: false\n", r.about.Module)
	for tag := range strings.SplitSeq(wheelTags[p], ".") {
		fmt.Fprintf(&wheel, "Tag: py3-none-%s\n", tag)
	}
	readme, err := os.ReadFile(filepath.Join(r.root, "README.md"))
	if err != nil {
		return err
	}
	fmt.Fprintf(&metadata, "Metadata-Version: 2.4\nName: %s\nVersion: %s\nSummary: %s\nAuthor: %s\nLicense-Expression: %s\n", r.about.Name, r.pythonVersion(), r.about.Description, r.texts.holder, r.texts.licenceID)
	fmt.Fprintf(&metadata, "License-File: LICENSE\nLicense-File: THIRD-PARTY-LICENSES.txt\nProject-URL: Homepage, %s\nKeywords: %s\nRequires-Python: >=3.8\n", r.homepage(), strings.Join(keywords, ","))
	// The MCP registry looks for the name in the description.
	fmt.Fprintf(&metadata, "Description-Content-Type: text/markdown\n\n<!-- mcp-name: %s -->\n%s", r.serverName(), readme)

	entries := []entry{{name: prefix + ".data/scripts/" + p.exe(r.about.Name), mode: 0o755, source: r.binaries[p]}}
	for _, e := range r.documents() {
		if e.name == "LICENSE" || e.name == "THIRD-PARTY-LICENSES.txt" {
			e.name = prefix + ".dist-info/licenses/" + e.name
			entries = append(entries, e)
		}
	}
	entries = append(entries,
		entry{name: prefix + ".dist-info/METADATA", mode: 0o644, content: []byte(metadata.String())},
		entry{name: prefix + ".dist-info/WHEEL", mode: 0o644, content: []byte(wheel.String())},
	)
	var record bytes.Buffer
	for _, e := range entries {
		content, err := e.read()
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", e.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(content))
	}
	name := prefix + ".dist-info/RECORD"
	fmt.Fprintf(&record, "%s,,\n", name)
	b, err := zipFile(r.when, append(entries, entry{name: name, mode: 0o644, content: record.Bytes()}))
	if err != nil {
		return err
	}
	return r.write(b, "pypi", fmt.Sprintf("%s-py3-none-%s.whl", prefix, wheelTags[p]))
}
