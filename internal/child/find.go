package child

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"unicode/utf8"
)

// ErrNotFound says that there is no such command. Other errors of Find say that it can't
// be run.
var ErrNotFound = errors.New("command not found")

// Find gives the path of a command that can be run, as far as that can be known before.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%q: %w", name, ErrNotFound)
	case err != nil:
		return "", fmt.Errorf("run the command: %w", err)
	case runtime.GOOS == "windows":
		return path, nil
	}
	return path, checkScript(path)
}

// checkScript refuses a script that the system can't run. A program that may be executed
// but not read passes.
func checkScript(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head, err := bufio.NewReader(io.LimitReader(f, 512)).Peek(512)
	if err != nil && err != io.EOF {
		return nil
	}
	line, isScript := bytes.CutPrefix(head, []byte("#!"))
	if !isScript {
		if utf8.Valid(head) && bytes.IndexByte(head, 0) < 0 {
			return fmt.Errorf("run the command: %q is a text and has no #! line", path)
		}
		return nil
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	interpreter, _, _ := strings.Cut(strings.TrimLeft(string(line), " \t"), " ")
	interpreter, _, _ = strings.Cut(interpreter, "\t")
	if _, err := exec.LookPath(interpreter); err != nil {
		return fmt.Errorf("run the command: the interpreter of %q can't be run: %w", path, err)
	}
	return nil
}
