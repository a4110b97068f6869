package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"kubbi-mcp/server"
	"kubbi-mcp/tools/files"
)

// allowFolders adds folders of --allow-dir to rules. It leaves out a folder that does not
// exist, for example on a drive that is not plugged in: the server is useful without it.
// The folder stays out until the next start, since somebody else may put a link in its
// place.
func (a *app) allowFolders(rules *files.Rules, dirs []string) error {
	for _, dir := range dirs {
		dir = strings.TrimSpace(dir)
		if dir == "" || isPlaceholder(dir) {
			continue // a setting that the host left blank
		}
		path, err := absolute(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		f, err := files.NewFolder(path)
		if _, there := errors.AsType[*fs.PathError](err); there {
			a.log.Warn("a folder of --allow-dir can't be used and is left out", "folder", path, "error", err)
			rules.Missing = append(rules.Missing, path)
			continue
		}
		if err != nil {
			return err
		}
		rules.Folders = append(rules.Folders, f)
	}
	return nil
}

// callerFolders gives the folders of each caller over HTTP. Without tokens every caller
// has every folder. With tokens a folder belongs to the token that it names, as alice=DIR,
// and a caller without a token has none.
func (a *app) callerFolders(base files.Rules, tokens []server.Token) (others files.Rules, byName map[string]files.Rules, err error) {
	others = base
	if len(tokens) == 0 {
		for _, entry := range a.cfg.AllowDir {
			if name, dir, named := splitNamed(entry); named {
				return others, nil, fmt.Errorf("%q gives a folder to the caller %q, and without tokens callers have no names: give the folder alone, or tokens; write a path that holds = as ./%s=%s", strings.TrimSpace(entry), name, name, dir)
			}
		}
		others.Cure = "Only the user can allow one, by starting kubbi-mcp with --allow-dir DIR."
		return others, nil, a.allowFolders(&others, a.cfg.AllowDir)
	}
	dirs := map[string][]string{}
	for _, entry := range a.cfg.AllowDir {
		if entry = strings.TrimSpace(entry); entry == "" || isPlaceholder(entry) {
			continue
		}
		name, dir, named := splitNamed(entry)
		switch {
		case !named:
			return others, nil, fmt.Errorf("%q names no caller: where tokens are configured, a folder is given to one of them, as NAME=DIR with the token's name (%s)", entry, someNames(tokens))
		case !slices.ContainsFunc(tokens, func(t server.Token) bool { return t.Name == name }):
			return others, nil, fmt.Errorf("%q: no token has the name %q (%s)", entry, name, someNames(tokens))
		case strings.TrimSpace(dir) == "":
			return others, nil, fmt.Errorf("%q has no folder after the name", entry)
		}
		dirs[name] = append(dirs[name], dir)
	}
	others.Cure = "A caller without a token can be given none."
	byName = make(map[string]files.Rules, len(tokens))
	for _, t := range tokens {
		rules := base
		rules.Cure = "Only whoever runs this server can allow one, by starting it with --allow-dir " + t.Name + "=DIR."
		if err := a.allowFolders(&rules, dirs[t.Name]); err != nil {
			return others, nil, err
		}
		byName[t.Name] = rules
	}
	return others, byName, nil
}

// splitNamed splits NAME=DIR. A path with = in it that begins with /, ./, ~ or a drive has
// no token name before the =.
func splitNamed(entry string) (name, dir string, ok bool) {
	name, dir, ok = strings.Cut(strings.TrimSpace(entry), "=")
	return name, dir, ok && server.IsTokenName(name)
}

// someNames lists the names of some tokens for an error.
func someNames(tokens []server.Token) string {
	const most = 5
	var names []string
	for i, t := range tokens {
		if i == most {
			names = append(names, "...")
			break
		}
		names = append(names, t.Name)
	}
	return "names: " + strings.Join(names, ", ")
}
