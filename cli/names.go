package cli

import (
	"context"
	"fmt"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/files"
)

// settleJSON gives a file that is no JSON, whatever its name says, a type that is
// true.
func (f *input) settleJSON() error {
	if f.contentType != api.TypeJSON {
		return nil
	}
	r, err := f.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if f.notJSON, err = content.JSONFault(r); err != nil {
		return fmt.Errorf("read %s: %w", f.name, err)
	}
	if f.notJSON != "" {
		f.contentType = files.DefaultType(f.text)
	}
	return nil
}

// singleType is the type that the file has as a single content.
func (f *input) singleType() string {
	if t := files.SingleType(f.name); t != api.TypeJSON || f.notJSON == "" {
		return t
	}
	return api.TypeText
}

// changes are what is sent otherwise than its owner has it, for a remark.
func (f *input) changes(name string) []string {
	var all []string
	if f.notJSON != "" {
		all = append(all, fmt.Sprintf("%s %s, so it is sent as %s", f.name, f.notJSON, f.contentType))
	}
	if name != "" && name != f.name {
		all = append(all, fmt.Sprintf("%s is sent as %s", f.name, name))
	}
	return all
}

// sendPackage sends files under names that the service takes, and remarks which of
// them are not their own.
func (a *app) sendPackage(ctx context.Context, k *kubbi.Client, p kubbi.SendFilesParams, inputs []input) (*kubbi.Sent, error) {
	if !p.Sealed { // sealed names are seen by no service
		names := make([]string, len(p.Sources))
		for i, s := range p.Sources {
			names[i] = s.Name
		}
		names, err := k.FileNames(ctx, names)
		if err != nil {
			return nil, err
		}
		for i := range p.Sources {
			p.Sources[i].Name = names[i]
		}
	}
	sent, err := k.SendFiles(ctx, p)
	if err != nil {
		return nil, err
	}
	for i, f := range inputs {
		for _, change := range f.changes(p.Sources[i].Name) {
			a.log.Warn(change)
		}
	}
	return sent, nil
}
