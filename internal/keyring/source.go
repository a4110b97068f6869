package keyring

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"kubbi-mcp/internal/atrest"
)

// How often Run reads a source.
const (
	fileEvery    = time.Second // a file is small, and costs some microseconds
	commandEvery = time.Minute
)

// Source is where a keyring is kept: a File, Env or Command. String is its name in errors
// and logs, without secrets.
type Source interface {
	fmt.Stringer
	// text returns what the source holds: the JSON of a keyring, or its base64.
	text(ctx context.Context) ([]byte, error)
	// every is the time between two reads of the source; 0: it can't change.
	every() time.Duration
}

// Parse parses the name of a source: "file:PATH" or a path alone, "env:NAME", or
// "command:PROGRAM ARGUMENT...", where spaces separate the words and there are no
// quotes. getenv reads an environment variable. Errors don't quote the name, which may
// be a keyring itself.
func Parse(name string, getenv func(string) string) (Source, error) {
	name = strings.TrimSpace(name)
	if _, err := parse([]byte(name)); err == nil || strings.HasPrefix(name, "{") {
		return nil, errors.New("this is a keyring itself; say where it is: file:PATH, env:NAME or command:PROGRAM")
	}
	kind, rest, found := strings.Cut(name, ":")
	switch {
	case found && kind == "env":
		if !variable.MatchString(rest) {
			return nil, errors.New("env: must be followed by the name of a variable, of letters, digits and _")
		}
		return Env{Name: rest, Getenv: getenv}, nil
	case found && kind == "command":
		words := strings.Fields(rest)
		if len(words) == 0 {
			return nil, errors.New("command: must be followed by a program")
		}
		return Command(words), nil
	case found && kind == "file":
		name = rest
	}
	if name == "" {
		return nil, errors.New("the path of the keyring is empty")
	}
	return File(name), nil
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Read returns the keyring that a source holds. Its error names the source; a missing
// file is fs.ErrNotExist.
func Read(ctx context.Context, s Source) (*atrest.Keyring, error) {
	_, ring, err := read(ctx, s)
	return ring, err
}

func read(ctx context.Context, s Source) ([]byte, *atrest.Keyring, error) {
	text, err := s.text(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read keyring: %w", err)
	}
	ring, err := parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w; restore it from a backup", s, err)
	}
	return text, ring, nil
}

// parse parses the JSON of a keyring. For places that can't hold JSON it also takes the
// base64 of that JSON, in either alphabet and with or without spaces and padding.
func parse(text []byte) (*atrest.Keyring, error) {
	if b := bytes.TrimSpace(text); len(b) > 0 && b[0] != '{' {
		b = bytes.TrimRight(bytes.Join(bytes.Fields(b), nil), "=")
		b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("-"), []byte("+")), []byte("_"), []byte("/"))
		if plain, err := base64.RawStdEncoding.AppendDecode(nil, b); err == nil {
			text = plain
		}
	}
	return atrest.ParseKeyring(text)
}

// Env is an environment variable. What it holds does not change while a
// program runs.
type Env struct {
	Name   string
	Getenv func(string) string
}

func (e Env) String() string       { return "env:" + e.Name }
func (e Env) every() time.Duration { return 0 }

func (e Env) text(context.Context) ([]byte, error) {
	v := e.Getenv(e.Name)
	if v == "" {
		return nil, fmt.Errorf("%s: the variable is not set", e)
	}
	return []byte(v), nil
}
