package kubbi

import (
	"context"

	"kubbi-mcp/internal/filename"
)

// FileNames gives the names under which files with these names can be sent, in one package,
// to this client's service. They are unchanged for our relay, and in ASCII for the hosted
// service, which accepts no others. A sender should tell its user which names have changed.
//
// Our relay says in its answer to GET /health that it accepts names in every script
// (api.HeaderFileNames). The client asks it once, and only if a name needs it. Any other
// service gets ASCII names, which every service accepts. The names in a sealed kubbi are
// hidden from the service and need no change.
//
// Errors match ErrNetwork, or ErrValidation if some system can't save a name or two names
// are the same on some system.
func (c *Client) FileNames(ctx context.Context, names []string) ([]string, error) {
	if err := checkNames(names); err != nil {
		return nil, err
	}
	ascii := true
	for _, name := range names {
		ascii = ascii && filename.IsASCII(name)
	}
	if ascii {
		return names, nil
	}
	if !c.service.everyName.Load() {
		if err := c.askService(ctx); err != nil {
			return nil, err
		}
	}
	if c.service.everyName.Load() {
		return names, nil
	}
	return filename.ToASCII(names), nil
}

// checkNames refuses names that some system can't save, and two names that are the same on
// some system.
func checkNames(names []string) error {
	taken := make(map[string]int, len(names))
	for i, name := range names {
		if fault := filename.Fault(name); fault != "" {
			return invalid("the name of file %d %s", i+1, fault)
		}
		fold := filename.Fold(name)
		if first, twice := taken[fold]; twice {
			return invalid("file %d has the name of file %d, ignoring case and Unicode form: give it another one", i+1, first)
		}
		taken[fold] = i + 1
	}
	return nil
}
