package keyring

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"kubbi-mcp/internal/atrest"
)

const (
	pruneEvery = time.Minute      // between two calls of Needs
	failedWait = 10 * time.Second // before a failed step is tried again
)

// Rotation changes the keys of a file by the clock. It makes one key in each period of
// Every, even if several Rotations of the file run, and removes keys that nothing needs any
// more. All fields except Logger are required.
type Rotation struct {
	File   File
	Every  time.Duration // in whole seconds; periods start at multiples of it since 1970
	After  time.Duration // from the making of a key until it seals; less than Every
	Margin time.Duration // see Prune
	Needs  func(context.Context) ([]string, error)
	Random io.Reader

	Made    func(Use)       // called for each new key
	Removed func(id string) // called for each removed key
	Logger  *slog.Logger    // for failures, which are tried again; nil: discards
}

// Run changes the keys until ctx ends, and returns nil.
func (r *Rotation) Run(ctx context.Context) error {
	for {
		wait := min(r.Every, pruneEvery)
		err := r.Step(ctx, time.Now())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if r.Logger != nil {
				r.Logger.LogAttrs(ctx, slog.LevelError, "keyring not changed; it is tried again", slog.Any("err", err))
			}
			wait = min(wait, failedWait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(wait, time.Until(r.period(time.Now()).Add(r.Every)))):
		}
	}
}

// Step makes a key unless the current period has one, and prunes the keyring.
func (r *Rotation) Step(ctx context.Context, now time.Time) error {
	return errors.Join(r.rotate(ctx, now), r.prune(ctx, now))
}

// period is when the period of a time began.
func (r *Rotation) period(t time.Time) time.Time {
	every := int64(r.Every / time.Second)
	return time.Unix(t.Unix()-t.Unix()%every, 0)
}

// due reports whether a key is missing for the period of now.
func (r *Rotation) due(ring *atrest.Keyring, now time.Time) bool {
	start := r.period(now)
	return !slices.ContainsFunc(ring.Keys(), func(k atrest.KeyInfo) bool { return !k.CreatedAt.Before(start) })
}

func (r *Rotation) rotate(ctx context.Context, now time.Time) error {
	ring, err := Read(ctx, r.File)
	if err != nil || !r.due(ring, now) {
		return err
	}
	var made *atrest.Keyring
	err = Edit(ctx, r.File, func(old *atrest.Keyring) (_ *atrest.Keyring, err error) {
		if !r.due(old, now) { // another process was faster
			return nil, nil
		}
		made, err = old.With(r.Random, now, now.Add(r.After))
		return made, err
	})
	if err == nil && made != nil {
		uses := Uses(made, now)
		r.Made(uses[len(uses)-1])
	}
	return err
}

func (r *Rotation) prune(ctx context.Context, now time.Time) error {
	ring, err := Read(ctx, r.File)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(Uses(ring, now), func(u Use) bool { return u.State == Opening && !u.Stopped.Add(r.Margin).After(now) }) {
		return nil // without a question to the store
	}
	var report Pruned
	err = Edit(ctx, r.File, func(old *atrest.Keyring) (left *atrest.Keyring, err error) {
		left, report, err = Prune(old, now, r.Margin, func() ([]string, error) { return r.Needs(ctx) })
		return left, err
	})
	if err == nil {
		for _, id := range report.Removed {
			r.Removed(id)
		}
	}
	return err
}
