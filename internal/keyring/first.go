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

// ErrLost says that a store is there whose master key is not.
var ErrLost = errors.New("master key of the store is lost")

// First makes the keyring of a file that is not there, and says whether it
// has. If the store of that name was used before, which is asked only then, the
// file was there once, and is an ErrLost: nothing may be made anew over what
// opens payloads. Many processes may do so at once.
func First(ctx context.Context, f File, used func() (bool, error), store string, random io.Reader, now time.Time) (made bool, err error) {
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

// Complete is nil if the keyring has every key that the store of that name
// needs, else an ErrLost that names those it lacks.
func (l *Live) Complete(ctx context.Context, store string) error {
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
