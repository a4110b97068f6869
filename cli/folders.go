package cli

import (
	"fmt"
	"path/filepath"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/consent"
)

// foldersCmd is `kubbi-mcp folders`.
type foldersCmd struct {
	List   foldersListCmd   `cmd:"" help:"List the folders, oldest first."`
	Revoke foldersRevokeCmd `cmd:"" help:"Take back what was allowed. Servers that are running heed it at their next call."`
}

func (a *app) consents() (*consent.Store, error) {
	data, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	return consent.NewStore(data), nil
}

// foldersListCmd is `kubbi-mcp folders list`.
type foldersListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the folders that the user has allowed when asked.
func (c *foldersListCmd) Run(a *app) error {
	consents, err := a.consents()
	if err != nil {
		return err
	}
	all, err := consents.List()
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(map[string]any{"folders": all})
	}
	if len(all) == 0 {
		a.remark("no folder was allowed; agents ask for one when they need it, and --allow-dir allows one from the start")
		return nil
	}
	rows := [][]string{{"FOLDER", "FOR", "PROJECT", "ALLOWED"}}
	for _, k := range all {
		rows = append(rows, []string{k.Folder, string(k.Access), k.Project, localTime(api.NewTime(k.AllowedAt))})
	}
	return a.print(table(rows))
}

// foldersRevokeCmd is `kubbi-mcp folders revoke`.
type foldersRevokeCmd struct {
	Folder  string `arg:"" optional:"" complete:"dir" help:"The folder, as list shows it."`
	For     string `placeholder:"ACCESS" help:"Only read, or only write."`
	Project string `placeholder:"DIR" help:"Only what was allowed for this project."`
	All     bool   `help:"Every folder."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// Run takes back what the user has allowed.
func (c *foldersRevokeCmd) Run(a *app) error {
	switch {
	case c.Folder == "" && c.Project == "" && !c.All:
		return usagef("name a folder as kubbi-mcp folders list shows it, or give --project or --all")
	case c.Folder != "" && c.All:
		return usagef("give either a folder or --all")
	}
	if c.For != "" && c.For != string(consent.Read) && c.For != string(consent.Write) {
		return usagef("--for is read or write")
	}
	for _, path := range []*string{&c.Folder, &c.Project} {
		if *path == "" {
			continue
		}
		full, err := absolute(*path)
		if err != nil {
			return usage(err)
		}
		*path = full
	}
	consents, err := a.consents()
	if err != nil {
		return err
	}
	revoked, err := consents.Revoke(func(k consent.Consent) bool {
		return (c.Folder == "" || samePath(c.Folder, k.Folder)) &&
			(c.Project == "" || samePath(c.Project, k.Project)) &&
			(c.For == "" || c.For == string(k.Access))
	})
	if err != nil {
		return err
	}
	if len(revoked) == 0 && !c.All {
		return fmt.Errorf("nothing was revoked: no such folder was allowed; kubbi-mcp folders list shows those that were")
	}
	if c.JSON {
		return a.printJSON(map[string]any{"revoked": revoked})
	}
	for _, k := range revoked {
		a.remark("revoked: %s, for %s, in %s", oneLine(k.Folder), k.Access, oneLine(k.Project))
	}
	return nil
}

// samePath compares a path that the user gives with one without symbolic links.
func samePath(given, real string) bool {
	if given == real {
		return true
	}
	resolved, err := filepath.EvalSymlinks(given)
	return err == nil && resolved == real
}
