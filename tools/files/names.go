package files

import (
	"path"
	"strings"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/internal/untrusted"
)

// PackageName gives the name that a file is sent under: its own, or a similar one that
// every system can save.
func PackageName(name string) string { return filename.Safe(name) }

// checkName refuses a name that some system can't save. Not every relay checks names.
func checkName(name string) error {
	if filename.Fault(name) != "" {
		return refuse("the sender's file name %s is not one to write under", untrusted.Quote(name, untrusted.MaxQuote))
	}
	return nil
}

// SaveNames gives the names that the files of a package are written under: their own. For a
// name that the API reference allows and Windows can't save, such as aux.h, it gives a
// similar one. It refuses all others.
func SaveNames(names []string) ([]string, error) {
	out, taken := make([]string, len(names)), make(map[string]bool, len(names))
	for i, name := range names {
		if err := checkName(name); err == nil {
			out[i], taken[filename.Fold(name)] = name, true
		} else if !filename.IsASCII(name) {
			return nil, err
		}
	}
	for i, name := range names {
		if out[i] != "" {
			continue
		}
		safe := filename.Safe(name)
		for ext := path.Ext(safe); taken[filename.Fold(safe)]; {
			safe = filename.Safe(strings.TrimSuffix(safe, ext) + "_" + ext)
			if len(safe) == maxName {
				return nil, refuse("the sender's file name %s is not one to write under", untrusted.Quote(name, untrusted.MaxQuote))
			}
		}
		out[i], taken[filename.Fold(safe)] = safe, true
	}
	return out, checkNames(out)
}

// checkNames refuses names that checkName refuses, and two names that are the same in a
// folder that ignores case or Unicode forms.
func checkNames(names []string) error {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
		folded := filename.Fold(name)
		if seen[folded] {
			return refuse("two files of the package have the name %s", untrusted.Quote(name, untrusted.MaxQuote))
		}
		seen[folded] = true
	}
	return nil
}
