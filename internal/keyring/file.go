package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/private"
)

// File is the path of a keyring file, which only its owner can read.
type File string

func (f File) String() string                       { return string(f) }
func (f File) every() time.Duration                 { return fileEvery }
func (f File) text(context.Context) ([]byte, error) { return private.Read(string(f)) }

// Make makes a keyring file with one new key. It leaves an existing file as it is.
func Make(f File, random io.Reader, now time.Time) error {
	ring, err := atrest.NewKeyring(random, now)
	if err != nil {
		return err
	}
	text, err := ring.Encode()
	if err != nil {
		return err
	}
	if _, err := private.Create(string(f), text); err != nil {
		return fmt.Errorf("make keyring: %w", err)
	}
	return nil
}

// Edit replaces the keyring in a file by the result of change, unless change returns nil
// or an error. Running relays use the new keyring within two seconds. Concurrent edits run
// one after the other.
func Edit(ctx context.Context, f File, change func(*atrest.Keyring) (*atrest.Keyring, error)) error {
	err := private.Edit(ctx, string(f), func(text []byte) ([]byte, error) {
		ring, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		if ring, err = change(ring); err != nil || ring == nil {
			return nil, err
		}
		return ring.Encode()
	})
	if err != nil {
		return fmt.Errorf("change keyring: %w", err)
	}
	return nil
}

// ErrLost says that there is a store, but not its master key.
var ErrLost = errors.New("master key of the store is lost")

// MakeIfMissing makes a keyring file if it is missing, and reports whether it did. If used
// reports that the store with that name was used before, the file was lost. Then
// MakeIfMissing makes no file, since a new key opens no payload, and returns ErrLost. Many
// processes may call it at once.
func MakeIfMissing(ctx context.Context, f File, used func() (bool, error), store string, random io.Reader, now time.Time) (made bool, err error) {
	_, err = Read(ctx, f)
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	before, err := used()
	if err != nil {
		return false, err
	}
	if before {
		return false, fmt.Errorf("%w: %s is missing; restore it from a backup, or move %s away to start afresh without the kubbis in it",
			ErrLost, f, store)
	}
	if err := Make(f, random, now); err != nil {
		return false, err
	}
	_, err = Read(ctx, f)
	return err == nil, err
}
