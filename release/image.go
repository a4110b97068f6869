package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// makeImage makes an image for two platforms, as an archive of an OCI image layout. How
// it starts is in the last stage of deploy/Dockerfile, which makes the same image with a
// container engine.
func (r *release) makeImage() error {
	config, err := r.imageConfig()
	if err != nil {
		return err
	}
	base, err := layer([]entry{
		{name: "data", mode: os.ModeDir | 0o700, uid: 10001},
		{name: "etc", mode: os.ModeDir | 0o755},
		{name: "etc/ssl", mode: os.ModeDir | 0o755},
		{name: "etc/ssl/certs", mode: os.ModeDir | 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: rootCertificates()},
		{name: "licenses", mode: os.ModeDir | 0o755},
		{name: "licenses/LICENSE", mode: 0o644, content: r.texts.licence},
		{name: "licenses/THIRD-PARTY-LICENSES.txt", mode: 0o644, content: r.texts.thirdParty},
	}, r)
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		if p.os != "linux" {
			continue
		}
		program, err := layer([]entry{{name: r.about.Name, mode: 0o755, source: r.binaries[p]}}, r)
		if err != nil {
			return err
		}
		img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
			OS: p.os, Architecture: p.arch, Created: v1.Time{Time: r.when}, Config: config,
		})
		if err != nil {
			return err
		}
		img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
		for _, l := range []v1.Layer{base, program} {
			img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: r.when}, CreatedBy: r.about.Module + "/release"}})
			if err != nil {
				return err
			}
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}}})
	}
	folder := filepath.Join(r.work, "image")
	at, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	name := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version()})
	if err := at.AppendIndex(index, name); err != nil {
		return err
	}
	var entries []entry
	err = filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		rel, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		e := entry{name: filepath.ToSlash(rel), mode: 0o644, source: path}
		if d.IsDir() {
			e = entry{name: e.name, mode: os.ModeDir | 0o755}
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := writeTar(&b, r.when, sorted(entries)); err != nil {
		return err
	}
	return r.write(b.Bytes(), fmt.Sprintf("%s_%s_oci.tar", r.about.Name, r.version()))
}

func layer(entries []entry, r *release) (v1.Layer, error) {
	b, err := tarGz(r.when, entries)
	if err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
}

// imageConfig reads the last stage of the Dockerfile.
func (r *release) imageConfig() (v1.Config, error) {
	b, err := os.ReadFile(filepath.Join(r.root, "deploy", "Dockerfile"))
	if err != nil {
		return v1.Config{}, err
	}
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(b), "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	_, text, _ = strings.Cut(text, "FROM scratch\n")
	c := v1.Config{Volumes: map[string]struct{}{}, ExposedPorts: map[string]struct{}{}}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "ENV":
			c.Env = append(c.Env, strings.Fields(rest)...)
		case "USER":
			c.User = rest
		case "VOLUME":
			c.Volumes[rest] = struct{}{}
		case "EXPOSE":
			c.ExposedPorts[rest+"/tcp"] = struct{}{}
		case "STOPSIGNAL":
			c.StopSignal = rest
		case "ENTRYPOINT":
			c.Entrypoint = words(rest)
		case "CMD":
			c.Cmd = words(rest)
		}
	}
	if len(c.Entrypoint) == 0 || len(c.Cmd) == 0 || c.User == "" {
		return c, fmt.Errorf("deploy/Dockerfile has no ENTRYPOINT, CMD or USER in its stage FROM scratch")
	}
	c.Labels = map[string]string{
		"org.opencontainers.image.title":       r.about.Name,
		"org.opencontainers.image.description": r.about.Description,
		"org.opencontainers.image.licenses":    r.texts.licenceID,
		"org.opencontainers.image.version":     r.version(),
		"org.opencontainers.image.revision":    r.commit,
		"org.opencontainers.image.source":      r.homepage(),
		"io.modelcontextprotocol.server.name":  r.serverName(), // says whose it is to the MCP registry
	}
	return c, nil
}

// words reads a list of a Dockerfile.
func words(list string) (all []string) {
	for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(list, -1) {
		all = append(all, m[1])
	}
	return all
}

// rootCertificates are Mozilla's, as golang.org/x/crypto has them: the same wherever a
// release is made.
func rootCertificates() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil { // not to be trusted without a check that a file can't express
			continue
		}
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			panic(err) // a buffer takes everything
		}
	}
	return b.Bytes()
}
