// Package files reads and writes files that an agent names by path, inside the
// folders that its user allows and nowhere else.
//
// A path is compared with the allowed folders as text, and then walked name by name
// through os.Root. So the system itself refuses what "..", a symbolic link or a race would
// lead outside. On the way each name is checked to be that of the file or folder that is
// opened in the end, so that a link can't lead past the rule for hidden names either.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"kubbi-mcp/internal/untrusted"
)

// Refusal says why a path is refused, in words for the agent or user who gave it. It
// names the path and the allowed folders, and shows no content of a file.
type Refusal string

func (r Refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return Refusal(fmt.Sprintf(format, args...)) }

// quote shows a path that came from outside.
func quote(path string) string {
	const most = 200
	if len(path) > most {
		path = strings.ToValidUTF8(path[:most], "") + "…"
	}
	var b strings.Builder
	for c, visible := range untrusted.Characters(fmt.Sprintf("%q", path)) {
		if visible {
			b.WriteString(c)
			continue
		}
		for _, r := range c { // %q shows some invisible characters as they are
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// refusalOf makes a Refusal from an error of the file system. It shows the path as it was
// given, and not the parts that the system adds.
func refusalOf(path string, err error) error {
	var refusal Refusal
	if errors.As(err, &refusal) {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("%s does not exist", quote(path))
	case errors.Is(err, fs.ErrPermission):
		return refuse("%s: permission denied", quote(path))
	case invalidName(err):
		return refuse("%s holds a character that no name of a file can have on this system", quote(path))
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return refuse("%s: %v", quote(path), err)
}
