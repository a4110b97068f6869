package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// sumsName is the file with all checksums, for sha256sum --check.
const sumsName = "SHA256SUMS"

// makeOrigin makes what says where all comes from: the list of modules, the provenance and
// the checksums.
func (r *release) makeOrigin(context.Context) error {
	if err := r.makeBOM(); err != nil {
		return err
	}
	if err := r.makeProvenance(); err != nil {
		return err
	}
	all, err := artifacts(r.dist)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, a := range all {
		fmt.Fprintf(&b, "%s  %s\n", a.sha256, a.name)
	}
	return r.write(b.Bytes(), sumsName)
}

// makeBOM makes the software bill of materials: the modules that are in any binary.
func (r *release) makeBOM() error {
	bom := cdx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, []byte(r.about.Module+"@"+r.tag+"#"+r.commit)).String()
	main := cdx.Component{
		Type: cdx.ComponentTypeApplication, BOMRef: purl(r.about.Module, r.tag), Name: r.about.Name, Version: r.tag, Description: r.about.Description,
		PackageURL: purl(r.about.Module, r.tag), Licenses: &cdx.Licenses{{License: &cdx.License{ID: r.texts.licenceID}}},
	}
	bom.Metadata = &cdx.Metadata{Timestamp: r.when.Format("2006-01-02T15:04:05Z"), Component: &main}
	var components []cdx.Component
	var refs []string
	for _, m := range r.modules {
		c := cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: purl(m.path, m.version), Name: m.path, Version: m.version, PackageURL: purl(m.path, m.version), Scope: cdx.ScopeRequired}
		if sum, ok := strings.CutPrefix(m.sum, "h1:"); ok { // of the module's files, as go.sum has it
			b, err := base64.StdEncoding.DecodeString(sum)
			if err != nil {
				return fmt.Errorf("checksum of %s: %w", m.path, err)
			}
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(b)}}
		}
		licences := cdx.Licenses{}
		seen := map[string]bool{}
		for _, l := range m.licences {
			for _, id := range l.spdx {
				if !seen[id] {
					licences = append(licences, cdx.LicenseChoice{License: &cdx.License{ID: id}})
				}
				seen[id] = true
			}
		}
		if len(licences) > 0 {
			c.Licenses = &licences
		}
		components, refs = append(components, c), append(refs, c.BOMRef)
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return r.write(b.Bytes(), fmt.Sprintf("%s_%s.cdx.json", r.about.Name, r.version()))
}

func purl(module, version string) string { return "pkg:golang/" + module + "@" + version }

// makeProvenance makes an in-toto statement with SLSA's predicate. It is not signed:
// whoever publishes a release signs it.
func (r *release) makeProvenance() error {
	type digest map[string]string
	type resource struct {
		Name   string `json:"name,omitempty"`
		URI    string `json:"uri,omitempty"`
		Digest digest `json:"digest"`
	}
	all, err := artifacts(r.dist)
	if err != nil {
		return err
	}
	var subjects []resource
	for _, a := range all {
		subjects = append(subjects, resource{Name: a.name, Digest: digest{"sha256": a.sha256}})
	}
	goVersion := ""
	dependencies := []resource{{URI: "git+" + r.homepage() + "@" + r.commit, Digest: digest{"gitCommit": r.commit}}}
	for _, m := range r.modules {
		if m.path == "std" {
			goVersion = m.version
			continue
		}
		dependencies = append(dependencies, resource{URI: purl(m.path, m.version), Digest: digest{"dirHash1": strings.TrimPrefix(m.sum, "h1:")}})
	}
	builder := r.homepage() + "/release"
	b, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": "https://slsa.dev/provenance/v1",
		"predicate": map[string]any{
			"buildDefinition": map[string]any{
				"buildType":            builder,
				"externalParameters":   map[string]any{"version": r.tag, "downloads": r.downloads, "image": r.imageName},
				"internalParameters":   map[string]any{"go": goVersion, "flags": r.buildFlags(), "environment": platforms[0].variables()[:4]},
				"resolvedDependencies": dependencies,
			},
			"runDetails": map[string]any{"builder": map[string]any{"id": builder}},
		},
	})
	if err != nil {
		return err
	}
	return r.write(append(b, '\n'), fmt.Sprintf("%s_%s.intoto.jsonl", r.about.Name, r.version()))
}
