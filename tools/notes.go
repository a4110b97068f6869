package tools

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/args"
	"kubbi-mcp/tools/files"
)

// settleJSON gives a file that is no JSON, whatever its name says, a type that is
// true, and notes why.
func (l *localFile) settleJSON() error {
	why, err := l.notJSON()
	if err == nil && why != "" {
		l.Type = files.DefaultType(l.Text)
		l.notef("%s %s, so it was sent as %s.", strconv.Quote(filepath.Base(l.Path)), why, l.Type)
	}
	return err
}

// mustBeJSON refuses a file that is asked to go as JSON and is none.
func (l *localFile) mustBeJSON() error {
	why, err := l.notJSON()
	if err == nil && why != "" {
		err = args.Error(fmt.Sprintf("%q %s, and can't be sent as %s: leave content_type out to send it as %s.", l.Path, why, api.TypeJSON, api.TypeText))
	}
	return err
}

// notJSON says why the file is not one JSON value, "" if it is.
func (l *localFile) notJSON() (string, error) {
	f, err := l.rules.OpenFound(l.Found)
	if err != nil {
		return "", err
	}
	defer f.Close()
	why, err := kubbi.NotJSON(f)
	if err != nil {
		return "", files.Refusal(fmt.Sprintf("%q can't be read", l.Path))
	}
	return why, nil
}

// notef adds to what the result says of a file.
func (l *localFile) notef(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// taken notices two files that would have one name in a package.
type taken map[string]string

func (n taken) add(name, from string) error {
	folded := filename.Fold(name)
	if other, ok := n[folded]; ok {
		return args.Error(fmt.Sprintf("%s and %s would have the same name in the package, %q: give one of them another name.", other, from, name))
	}
	n[folded] = from
	return nil
}

// addLocal is add for a file that is sent by its path, with a note if its name had
// to change. One of several that a path stands for can't be given a name, and gets
// another one by itself.
func (n taken) addLocal(l *localFile) error {
	if l.Name != l.Own && !l.named {
		l.notef("%s was sent as %s: not every system can save its own name.", strconv.Quote(l.Own), strconv.Quote(l.Name))
	}
	wanted := l.Name
	other := n[filename.Fold(wanted)]
	for i := 2; l.several && other != l.Path && n[filename.Fold(l.Name)] != ""; i++ {
		ending := path.Ext(wanted)
		l.Name = filename.Safe(fmt.Sprintf("%s-%d%s", strings.TrimSuffix(wanted, ending), i, ending))
	}
	if l.Name != wanted {
		l.notef("%s was sent as %s: another file of the package has its name.", strconv.Quote(l.Path), strconv.Quote(l.Name))
	}
	return n.add(l.Name, l.Path)
}

// nameFor gives the files the names that the service takes. Sealed ones keep theirs,
// which the service does not see.
func (o *outgoing) nameFor(ctx context.Context, client *kubbi.Client) error {
	var own []string
	for _, f := range o.files {
		own = append(own, f.Name)
	}
	for _, s := range o.sources {
		own = append(own, s.Name)
	}
	names, err := client.FileNames(ctx, own)
	if err != nil {
		return err
	}
	for i, name := range names {
		if name != own[i] {
			o.notes = append(o.notes, fmt.Sprintf("%s was sent as %s: this service takes names in ASCII only.", strconv.Quote(own[i]), strconv.Quote(name)))
		}
		if i < len(o.files) {
			o.files[i].Name = name
		} else {
			o.sources[i-len(o.files)].Name = name
		}
	}
	for _, l := range o.local {
		l.Name = names[l.place]
	}
	return nil
}

// allNotes is what the result says was changed on the way.
func (o *outgoing) allNotes() []string {
	var all []string
	for _, l := range o.local {
		all = append(all, l.notes...)
	}
	return append(all, o.notes...)
}
