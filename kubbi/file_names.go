package kubbi

import (
	"context"

	"kubbi-mcp/internal/filename"
)

// FileNames gives the names under which files of these names can go, in one package, to
// the service that this client sends to: unchanged to a relay of ours, and in ASCII to
// the hosted service, which takes no others. A sender should tell its user which names
// have changed.
//
// A relay of ours says in its answer to GET /health that it takes every script
// (api.HeaderFileNames). It is asked once, and only if a name needs it, so that no
// payload is sent in vain. A service that does not say so gets ASCII names, which every
// service takes. Sealed names are seen by no service, and need no change.
//
// Errors match ErrNetwork, or ErrValidation for a name that some system can't save or
// that is there twice.
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

// checkNames refuses names that some system can't save, and two names that some system
// takes for one.
func checkNames(names []string) error {
	limit, taken := filename.MaxBytes, make(map[string]int, len(names))
	for i, name := range names {
		if fault := filename.Fault(name, limit); fault != "" {
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
