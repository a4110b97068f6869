package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// ErrLost says that there is a store, but not its master key.
var ErrLost = errors.New("master key of the store is lost")

// MakeIfMissing makes a keyring file if it is missing, and reports whether it did. If
// used reports that the store of that name was used before, there was a file once: then
// it makes none, since a new key opens no payload, and the error is ErrLost. Many
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

// CheckComplete is nil if the keyring has every key that the store of that name needs,
// else an ErrLost that names the missing ones.
func (l *Live) CheckComplete(ctx context.Context, store string) error {
	missing, err := l.Missing(ctx)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s has no key %s, under which kubbis in %s are sealed; restore it from a backup, or move both away to start afresh",
			ErrLost, l.cfg.Source, strings.Join(missing, " "), store)
	}
	return nil
}
