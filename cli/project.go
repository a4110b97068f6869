package cli

import (
	"os"
	"path/filepath"

	"kubbi-mcp/server"
	"kubbi-mcp/tools/consent"
	"kubbi-mcp/tools/files"
)

// projectVariable is set by Claude Code for the servers that it starts: the folder in which
// it works.
const projectVariable = "CLAUDE_PROJECT_DIR"

// addProject allows the folder of the host's project. The user is asked about other folders
// in the name of this project.
func (a *app) addProject(cfg *server.Config, dataDir string) {
	cfg.Consents = consent.NewStore(dataDir)
	if dir, err := os.Getwd(); err == nil {
		if cfg.Project, err = filepath.EvalSymlinks(dir); err != nil {
			cfg.Project = dir
		}
	}
	dir := a.getenv(projectVariable)
	if dir == "" || placeholder.MatchString(dir) {
		return
	}
	f, err := files.NewFolder(dir)
	switch {
	case err != nil:
		a.log.Warn("the project's folder can't be used", "variable", projectVariable, "error", err)
	case files.TooWide(f.Real()):
		cfg.Project = f.Real()
		a.log.Warn("the project's folder is not open to agents: it is a home or a system's folder; allow it with --allow-dir if that is meant", "variable", projectVariable)
	default:
		cfg.Project = f.Real()
		cfg.Files = cfg.Files.With(f)
	}
}
