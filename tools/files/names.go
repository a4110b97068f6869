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
		return notWritten(name)
	}
	return nil
}

func notWritten(name string) error {
	return refuse("the sender's file name %s is not one to write under", untrusted.Quote(name, untrusted.MaxQuote))
}

// saveNames gives the names that the files of a package are written under: their own. For a
// name that the API reference allows and Windows can't save, such as aux.h, it gives a
// similar one. It refuses all others, and two names that are the same in a folder that ignores
// case or Unicode forms.
func saveNames(names []string) ([]string, error) {
	out, taken := make([]string, len(names)), make(map[string]bool, len(names))
	for i, name := range names {
		err := checkName(name)
		if err != nil && !filename.IsASCII(name) {
			return nil, err
		}
		if err != nil {
			continue
		}
		folded := filename.Fold(name)
		if taken[folded] {
			return nil, refuse("two files of the package have the name %s", untrusted.Quote(name, untrusted.MaxQuote))
		}
		out[i], taken[folded] = name, true
	}
	for i, name := range names {
		if out[i] != "" {
			continue
		}
		safe := filename.Safe(name)
		for ext := path.Ext(safe); taken[filename.Fold(safe)]; {
			safe = filename.Safe(strings.TrimSuffix(safe, ext) + "_" + ext)
			if len(safe) == maxName {
				return nil, notWritten(name)
			}
		}
		out[i], taken[filename.Fold(safe)] = safe, true
	}
	return out, nil
}
