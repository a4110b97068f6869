// Package keyring keeps a relay's master keys: it reads them from a file, an
// environment variable or a command's output, follows changes while the relay runs, and
// rotates and prunes the keys.
package keyring

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"kubbi-mcp/internal/atrest"
)

const (
	minGap    = time.Second     // between two reads of a source
	needsTime = 5 * time.Second // time limit of Config.Needs
	logAgain  = time.Minute     // before the same failure is logged again
)

// Config is what a live keyring needs. Source must be given.
type Config struct {
	Source Source

	// Needs gives the ids of the keys that the store's kubbis are sealed under. A new
	// keyring without one of them is refused. nil: no check.
	Needs func(context.Context) ([]string, error)

	Every  time.Duration // between two reads by Run; zero: the default of the source
	Logger *slog.Logger  // nil: discards
}

// Live is a keyring that follows its source. Many goroutines may use it. It is
// a relay.Keyring.
type Live struct {
	cfg  Config
	ring atomic.Pointer[atrest.Keyring]

	reading chan struct{} // holds a token while no read runs; guards the fields below
	text    []byte        // what the source held when Current was read
	tried   time.Time     // when the last read began
	read    time.Time     // when the last complete read began
	err     error         // the result of the last complete read
	logged  time.Time     // when err was logged
}

// Open reads a keyring. Run and Reload keep it up to date.
func Open(ctx context.Context, cfg Config) (*Live, error) {
	if cfg.Every <= 0 {
		cfg.Every = cfg.Source.every()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	text, ring, err := read(ctx, cfg.Source)
	if err != nil {
		return nil, err
	}
	l := &Live{cfg: cfg, reading: make(chan struct{}, 1), text: text}
	l.ring.Store(ring)
	l.reading <- struct{}{}
	return l, nil
}

// Current is the keyring as it was last read.
func (l *Live) Current() *atrest.Keyring { return l.ring.Load() }

// Run reads the source now and then until ctx ends, and returns nil.
func (l *Live) Run(ctx context.Context) error {
	for l.cfg.Every > 0 {
		// Many nodes may ask one secret manager: jitter keeps them from doing it at once.
		wait := l.cfg.Every*9/10 + rand.N(l.cfg.Every/10+1)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		_ = l.Reload(ctx) // which logs
	}
	<-ctx.Done()
	return nil
}

// Reload reads the source and returns the result. The read begins after the call, and
// concurrent callers may share it: one caller at a time reads the source, at most once a
// second. If the read fails, or the new keyring lacks a key that is needed, Current stays
// as it is and the failure is logged.
func (l *Live) Reload(ctx context.Context) error {
	asked := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.reading:
	}
	defer func() { l.reading <- struct{}{} }()
	if l.read.After(asked) {
		return l.err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(l.tried.Add(minGap))):
	}
	l.tried = time.Now()
	err := l.update(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // the result says nothing about the source
	}
	l.log(ctx, err)
	l.read, l.err = l.tried, err
	return err
}

// CheckComplete returns nil if the keyring has every key that the store with that name
// needs. Otherwise the error is ErrLost and names the missing keys.
func (l *Live) CheckComplete(ctx context.Context, store string) error {
	if l.cfg.Needs == nil {
		return nil
	}
	needed, err := l.cfg.Needs(ctx)
	if err != nil {
		return fmt.Errorf("ask the store which keys it needs: %w", err)
	}
	missing := slices.DeleteFunc(needed, l.Current().Has)
	if len(missing) > 0 && l.Reload(ctx) == nil { // a key may have come since the last read
		missing = slices.DeleteFunc(missing, l.Current().Has)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s has no key %s, under which kubbis in %s are sealed; restore it from a backup, or move both away to start afresh",
			ErrLost, l.cfg.Source, strings.Join(missing, " "), store)
	}
	return nil
}

// update reads the source and makes its keyring the current one.
func (l *Live) update(ctx context.Context) error {
	text, ring, err := read(ctx, l.cfg.Source)
	if err != nil || bytes.Equal(text, l.text) {
		return err
	}
	if err := l.checkLost(ctx, ring); err != nil {
		return err
	}
	l.text = text
	l.ring.Store(ring)
	l.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "keyring has changed",
		slog.String("source", l.cfg.Source.String()), slog.Any("keys", ring.IDs()), slog.String("seals", ring.Sealing(time.Now())))
	return nil
}

// checkLost returns an error if a new keyring lacks a key of Current that the store needs.
func (l *Live) checkLost(ctx context.Context, ring *atrest.Keyring) error {
	gone := slices.DeleteFunc(l.Current().IDs(), ring.Has)
	if len(gone) == 0 || l.cfg.Needs == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, needsTime)
	defer cancel()
	needed, err := l.cfg.Needs(ctx)
	if err != nil {
		return fmt.Errorf("keyring from %s has lost keys %s, and the store does not say whether they are needed: %w",
			l.cfg.Source, strings.Join(gone, " "), err)
	}
	gone = slices.DeleteFunc(gone, func(id string) bool { return !slices.Contains(needed, id) })
	if len(gone) > 0 {
		return fmt.Errorf("keyring from %s has lost keys that kubbis are sealed under: %s; put them back", l.cfg.Source, strings.Join(gone, " "))
	}
	return nil
}

// log logs a failure once, again every minute while it lasts, and when it is over.
func (l *Live) log(ctx context.Context, err error) {
	switch {
	case err == nil && l.err != nil:
		l.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "keyring can be read again", slog.String("source", l.cfg.Source.String()))
	case err == nil:
	case l.err == nil || l.err.Error() != err.Error() || time.Since(l.logged) >= logAgain:
		l.logged = time.Now()
		l.cfg.Logger.LogAttrs(ctx, slog.LevelError, "keyring not read; the last good one stays", slog.Any("err", err))
	}
}
