package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk" // registers the format
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// makePackages makes the deb, the rpm and the apk for an architecture.
func (r *release) makePackages(p platform) error {
	folder := filepath.Join(r.work, "package_"+p.arch)
	for _, format := range []string{"deb", "rpm", "apk"} {
		packager, err := nfpm.Get(format)
		if err != nil {
			return err
		}
		contents, err := r.packageContents(p, format, filepath.Join(folder, format))
		if err != nil {
			return err
		}
		info := nfpm.WithDefaults(&nfpm.Info{
			Name: r.about.Name, Arch: p.arch, Platform: "linux", Version: r.tag, Release: "1",
			Section: "utils", Priority: "optional", Maintainer: r.texts.holder, Vendor: r.texts.holder,
			Description: r.about.Description + "\n" + r.about.About, Homepage: r.homepage(), License: r.texts.licenceID,
			MTime: r.when, DisableGlobbing: true,
			Overridables: nfpm.Overridables{
				Contents: contents,
				RPM:      nfpm.RPM{BuildHost: "localhost", Summary: r.about.Description, Packager: r.texts.holder},
			},
		})
		if err := nfpm.PrepareForPackager(info, format); err != nil {
			return err
		}
		var b bytes.Buffer
		if err := packager.Package(info, &b); err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
		if err := r.write(b.Bytes(), packager.ConventionalFileName(info)); err != nil {
			return err
		}
	}
	return nil
}

// packageContents lays out a package. The unit is installed, but nothing is started: a
// relay needs settings first.
func (r *release) packageContents(p platform, format, folder string) (files.Contents, error) {
	zsh := "/usr/share/zsh/site-functions/_"
	if format == "deb" {
		zsh = "/usr/share/zsh/vendor-completions/_"
	}
	all := map[string]entry{"/usr/bin/" + r.about.Name: {mode: 0o755, source: r.binaries[p]}}
	for _, e := range r.documents() {
		name := e.name
		if name == "LICENSE" && format == "deb" {
			name = "copyright"
		}
		all["/usr/share/doc/"+r.about.Name+"/"+name] = e
	}
	for _, e := range r.texts.completions {
		switch filepath.Ext(e.name) {
		case ".bash":
			all["/usr/share/bash-completion/completions/"+r.about.Name] = e
		case ".zsh":
			all[zsh+r.about.Name] = e
		case ".fish":
			all["/usr/share/fish/vendor_completions.d/"+r.about.Name+".fish"] = e
		}
	}
	for _, e := range r.texts.manuals {
		b, err := gzipped(e.content)
		if err != nil {
			return nil, err
		}
		e.content = b
		all["/usr/share/man/man1/"+filepath.Base(e.name)+".gz"] = e
	}
	for _, e := range r.service("/usr/bin") {
		switch name := filepath.Base(e.name); name {
		case "kubbi-relay-admin":
			all["/usr/sbin/"+name] = e
		case "kubbi-relay.service":
			all["/usr/lib/systemd/system/"+name] = e
		default:
			all["/usr/share/doc/"+r.about.Name+"/"+name] = e
		}
	}
	contents := files.Contents{{Destination: "/etc/kubbi-relay", Type: files.TypeDir, FileInfo: r.fileInfo(0o700)}}
	for destination, e := range all {
		if e.source == "" {
			e.source = filepath.Join(folder, destination)
			if err := os.MkdirAll(filepath.Dir(e.source), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(e.source, e.content, 0o644); err != nil {
				return nil, err
			}
		}
		contents = append(contents, &files.Content{Source: e.source, Destination: destination, FileInfo: r.fileInfo(e.mode)})
	}
	slices.SortFunc(contents, func(a, b *files.Content) int { return strings.Compare(a.Destination, b.Destination) })
	return contents, nil
}

func (r *release) fileInfo(mode fs.FileMode) *files.ContentFileInfo {
	return &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.when}
}
