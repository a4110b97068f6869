package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licenseclassifier/v2/assets"
)

// module is a module that is in a binary.
type module struct {
	path, version, sum string
	licences           []licence
}

// licence is a text that must go along.
type licence struct {
	file string // in the module
	text []byte
	spdx []string // what it is; empty if that is not known
}

var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|unlicense)([.-].*)?$`)

// readModules finds the modules of all binaries, and their licences.
func (r *release) readModules(ctx context.Context) error {
	found := map[string]module{}
	goVersion := ""
	for _, binary := range r.binaries {
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return err
		}
		goVersion, _, _ = strings.Cut(info.GoVersion, "-X:") // without the experiments
		for _, d := range info.Deps {
			if d.Replace != nil {
				return fmt.Errorf("%s is replaced by %s: a release has only published modules", d.Path, d.Replace.Path)
			}
			found[d.Path] = module{path: d.Path, version: d.Version, sum: d.Sum}
		}
	}
	folders, err := r.packageFolders(ctx)
	if err != nil {
		return err
	}
	goroot, err := output(ctx, r.root, nil, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	found["std"] = module{path: "std", version: strings.TrimPrefix(goVersion, "go")}
	folders["std"] = map[string]bool{goroot: true}
	classifier, err := assets.DefaultClassifier()
	if err != nil {
		return err
	}
	known := map[string][]string{}
	classify := func(text []byte) []string {
		ids, seen := known[string(text)]
		if seen {
			return ids
		}
		for _, match := range classifier.Match(text).Matches {
			if match.MatchType == "License" && !slices.Contains(ids, match.Name) {
				ids = append(ids, match.Name)
			}
		}
		slices.Sort(ids)
		known[string(text)] = ids
		return ids
	}
	own := classify(r.texts.licence)
	if len(own) != 1 {
		return fmt.Errorf("LICENSE is %q, not one known licence", own)
	}
	r.texts.licenceID = own[0]
	for path, m := range found {
		for folder := range folders[path] {
			entries, err := os.ReadDir(folder)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if !e.Type().IsRegular() || !licenceName.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
					continue
				}
				text, err := os.ReadFile(filepath.Join(folder, e.Name()))
				if err != nil {
					return err
				}
				m.licences = append(m.licences, licence{filepath.Join(filepath.Base(folder), e.Name()), text, classify(text)})
			}
		}
		if len(m.licences) == 0 {
			return fmt.Errorf("module %s has no licence in its folders %v", path, folders[path])
		}
		slices.SortFunc(m.licences, func(a, b licence) int { return strings.Compare(a.file, b.file) })
		r.modules = append(r.modules, m)
	}
	slices.SortFunc(r.modules, func(a, b module) int { return strings.Compare(a.path, b.path) })
	r.texts.thirdParty = thirdParty(r.about.Name, r.modules)
	return nil
}

// packageFolders gives, by module, the folders whose code is in a binary, and those above
// them: a licence may be in any.
func (r *release) packageFolders(ctx context.Context) (map[string]map[string]bool, error) {
	folders := map[string]map[string]bool{}
	for _, p := range platforms {
		out, err := output(ctx, r.root, p.variables(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}\t{{.Dir}}", ".")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			fields := strings.Split(strings.TrimSpace(line), "\t")
			if len(fields) != 3 {
				continue // of this module, or of the standard library
			}
			path, top, dir := fields[0], fields[1], fields[2]
			if folders[path] == nil {
				folders[path] = map[string]bool{}
			}
			for ; strings.HasPrefix(dir, top); dir = filepath.Dir(dir) {
				folders[path][dir] = true
			}
		}
	}
	return folders, nil
}

// thirdParty is a text with all licences. A text that several modules share is there once.
func thirdParty(name string, modules []module) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s holds code of these modules. Each licence follows the modules that it is for.\n", name)
	users := map[string][]string{}
	var order []string
	for _, m := range modules {
		for _, l := range m.licences {
			text := strings.TrimSpace(string(l.text))
			if users[text] == nil {
				order = append(order, text)
			}
			if user := m.path + " " + m.version; !slices.Contains(users[text], user) {
				users[text] = append(users[text], user)
			}
		}
	}
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[text], "\n"), strings.Repeat("-", 80), text)
	}
	return b.Bytes()
}
