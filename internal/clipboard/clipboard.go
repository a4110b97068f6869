// Package clipboard puts a text on the user's clipboard with the platform's own program. The
// text goes through its standard input, so that no list of processes shows it.
package clipboard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// ErrNone says that there is no clipboard.
var ErrNone = errors.New("there is no clipboard here")

// patience is how long the program may take.
const patience = 5 * time.Second

// program gives the first program that works here, nil if there is none.
func program() []string {
	var programs [][]string
	switch runtime.GOOS {
	case "darwin":
		programs = [][]string{{"pbcopy"}}
	case "windows":
		programs = [][]string{{"clip.exe"}}
	default:
		if os.Getenv("WAYLAND_DISPLAY") != "" {
			programs = append(programs, []string{"wl-copy", "--type", "text/plain"})
		}
		if os.Getenv("DISPLAY") != "" {
			programs = append(programs, []string{"xclip", "-in", "-selection", "clipboard"}, []string{"xsel", "--input", "--clipboard"})
		}
		if os.Getenv("WSL_DISTRO_NAME") != "" {
			programs = append(programs, []string{"clip.exe"})
		}
	}
	for _, p := range programs {
		if path, err := exec.LookPath(p[0]); err == nil {
			return append([]string{path}, p[1:]...)
		}
	}
	return nil
}

// Available reports whether Copy has a program to use.
func Available() bool { return program() != nil }

// Copy puts a text on the clipboard. The error is ErrNone if there is no clipboard. It waits
// for the program five seconds at most.
func Copy(ctx context.Context, text string) error {
	p := program()
	if p == nil {
		if runtime.GOOS == "linux" {
			return fmt.Errorf("%w: it needs a desktop, and wl-copy, xclip or xsel", ErrNone)
		}
		return ErrNone
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, p[0], p[1:]...) // xclip and wl-copy go on in the background, and must not hold our streams
	cmd.Stdin = strings.NewReader(text)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the clipboard can't be used: %s: %w", p[0], err)
	}
	return nil
}
