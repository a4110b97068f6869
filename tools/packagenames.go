package tools

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/args"
)

// packageNames are the names in a package, folded, and where each file comes from.
type packageNames map[string]string

func (n packageNames) add(name, from string) error {
	folded := filename.Fold(name)
	if other, ok := n[folded]; ok {
		return args.Error(fmt.Sprintf("%s and %s would have the same name in the package, %q: give one of them another name.", other, from, name))
	}
	n[folded] = from
	return nil
}

// addLocal is add for a file that is sent by its path, with a note if its name changes. If a
// path stands for several files, the call can't name them, so a name that is taken gets a
// number.
func (n packageNames) addLocal(l *localFile) error {
	if l.Name != l.Own && !l.named {
		l.notef("%s was sent as %s: not every system can save its own name.", strconv.Quote(l.Own), strconv.Quote(l.Name))
	}
	wanted := l.Name
	other := n[filename.Fold(wanted)]
	for i := 2; l.several && other != l.Path && n[filename.Fold(l.Name)] != ""; i++ {
		extension := path.Ext(wanted)
		l.Name = filename.Safe(fmt.Sprintf("%s-%d%s", strings.TrimSuffix(wanted, extension), i, extension))
	}
	if l.Name != wanted {
		l.notef("%s was sent as %s: another file of the package has its name.", strconv.Quote(l.Path), strconv.Quote(l.Name))
	}
	return n.add(l.Name, l.Path)
}

// useServiceNames gives the files names that the service accepts.
func (o *outgoing) useServiceNames(ctx context.Context, client *kubbi.Client) error {
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

// allNotes says what was changed, and why.
func (o *outgoing) allNotes() []string {
	var all []string
	for _, l := range o.local {
		all = append(all, l.notes...)
	}
	return append(all, o.notes...)
}
