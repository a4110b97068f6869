// Package claims claims kubbis so that no payload is lost on the way.
//
// A claim counts when the relay answers it, and the last one wipes the payload. So
// each claim runs under an idempotency key, which is held until the payload is safe:
// on the disk, or with a client that has read the answer. Until then the same claim,
// made again, gets the payload again and counts once, even in another process.
// A service that knows no such keys gives a payload once; then the payload itself is
// kept for a minute, in memory or in a file.
package claims

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/internal/spool"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/files"
)

// Claimer makes the claims of one caller.
type Claimer struct {
	client *kubbi.Client
	state  *State
	keys   keySet
	log    *slog.Logger
}

// New makes a claimer. Without a state only small payloads can be claimed, and
// nothing is kept for another process. caller says whose claims they are, where
// several share a state. log may be nil.
func New(client *kubbi.Client, state *State, caller string, log *slog.Logger) *Claimer {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Claimer{client: client, state: state, keys: keySet{state: state, caller: caller, log: log, patience: Patience}, log: log}
}

// OnDisk reports whether the claimer has a state. Without one nothing can be saved.
func (c *Claimer) OnDisk() bool { return c.state != nil }

// ClientActive is called when a message of a session came at a time. A client that
// sends another message has read the answers before it, so their keys are dropped.
func (c *Claimer) ClientActive(session string, at time.Time) { c.keys.clientActive(session, at) }

// SessionEnded is called when a client has ended its session. The client may not have read
// its last answer. So the next client of the same caller can repeat the claim.
func (c *Claimer) SessionEnded(session string) { c.keys.sessionEnded(session) }

// Close gives up the keys. Another process with the same state can use those whose answers
// may not have been read.
func (c *Claimer) Close() { c.keys.close() }

// Request says what to claim.
type Request struct {
	URL      string // claim URL, token, or the id of a handle
	Name     string // what errors of PassAll call it; "": nothing
	Repeat   Repeat
	Progress kubbi.Progress // nil: progress is not reported
}

// Repeat says what to do if the caller has claimed the same URL a moment ago.
type Repeat int

// The values of Repeat.
const (
	RepeatLost Repeat = iota // repeat that claim if its answer was lost, else claim anew
	RepeatAny                // repeat it
	RepeatOnly               // repeat it; if there is none, refuse with ErrNoRepeat
)

// Claim is a claim under way. The caller must end it with exactly one of Cancel, Shown,
// SaveReceived and NotShown. An error of Receive has ended it.
type Claim struct {
	Request                  // its URL is a claim URL or token
	Handle  *handles.Handle  // which has that URL; nil: none
	Seen    *kubbi.Inspected // what inspect says; nil: it repeats a claim that may have used the kubbi up

	claimer *Claimer
	key     *key
	until   time.Time // the end of the time to repeat the claim, once it was made
	spool   *spool.Spool
}

// Begin takes the key for a claim and inspects the kubbi. With an error there is no claim to
// end. A handle is forgotten once its kubbi is used up and its payload is safe.
func (c *Claimer) Begin(ctx context.Context, req Request) (*Claim, error) {
	claimURL, handle, err := c.Resolve(ctx, req.URL)
	if err != nil {
		return nil, err
	}
	req.URL = claimURL
	key, err := c.keys.take(ctx, req.URL)
	if err != nil {
		return nil, err
	}
	claim := &Claim{Request: req, Handle: handle, claimer: c, key: key, until: key.Until.Add(graceMargin)}
	if req.Repeat == RepeatOnly && !key.used() {
		key.drop()
		return nil, ErrNoRepeat
	}
	repeat := key.used() && (req.Repeat != RepeatLost || !key.Answered)
	if repeat && key.payload != nil {
		return claim, nil
	}
	seen, err := c.client.Inspect(ctx, req.URL)
	gone := errors.Is(err, kubbi.ErrGone) || errors.Is(err, kubbi.ErrExpired)
	switch {
	case err == nil:
		claim.Seen = seen
		if key.used() && !repeat { // another retrieval is wanted
			key.endGrace()
			err = key.renew()
		}
		return claim, err
	case gone && repeat:
		return claim, nil
	case gone && key.used():
		left := time.Until(key.Until)
		key.unused()
		return nil, &AlreadyClaimed{Left: left}
	case gone && handle != nil: // somebody else has used it up, or it was deleted
		c.forget(ctx, handle)
		fallthrough
	default:
		key.failed(err)
		return nil, err
	}
}

// Cancel ends the claim before Receive: nothing was claimed.
func (c *Claim) Cancel() { c.key.unused() }

// Close removes what Receive has stored. It does not end the claim.
func (c *Claim) Close() {
	if c.spool != nil {
		c.spool.Close()
	}
}

// Left is how long the claim can be repeated. It is known after Receive.
func (c *Claim) Left() time.Duration { return time.Until(c.until) }

// Receive claims a payload to show it. An answer of at most limit bytes is in memory. A
// larger one is in a file until Close, unless it is not sealed and its content has at most
// maxContent bytes.
func (c *Claim) Receive(ctx context.Context, limit, maxContent int64) (*kubbi.Claimed, error) {
	opts := []kubbi.ClaimOption{kubbi.Within(limit)}
	if c.claimer.state != nil {
		opts = append(opts, kubbi.ToFile(c.openSpool))
	}
	got, err := c.fetch(ctx, opts...)
	if err != nil || c.key.payload != nil {
		return got, err
	}
	if got.InFile {
		if Size(got) > maxContent || got.Sealed() {
			return got, nil
		}
		if err := got.Load(); err != nil {
			return nil, c.unsaved(err, got, true)
		}
	}
	if got.Grace <= 0 { // the service does not give it again
		c.keepInMemory(got)
	}
	return got, nil
}

// fetch gives the payload that is in memory, or claims it. An error ends the claim.
func (c *Claim) fetch(ctx context.Context, opts ...kubbi.ClaimOption) (*kubbi.Claimed, error) {
	if c.key.payload != nil {
		return c.key.payload, nil
	}
	got, err := c.claimer.client.Claim(ctx, c.URL, append(c.options(), opts...)...)
	if err != nil {
		c.key.failed(err)
		return nil, err
	}
	c.received(ctx, got)
	return got, nil
}

// received notes how long the relay gives the payload again.
func (c *Claim) received(ctx context.Context, got *kubbi.Claimed) {
	c.until = c.key.graceEnds(got.Grace)
	c.key.release = func() { got.ReleaseSoon(context.WithoutCancel(ctx)) }
	if c.Handle != nil && got.Burned {
		c.key.dropped = func() { c.claimer.forget(ctx, c.Handle) }
	}
}

func (c *Claim) keepInMemory(got *kubbi.Claimed) {
	c.until, c.key.payload = time.Now().Add(keptInMemory), got
}

// openSpool makes the claim's file. Only this process can read it.
func (c *Claim) openSpool() (kubbi.PayloadFile, error) {
	if c.spool == nil { // else this is another attempt
		var err error
		if c.spool, err = c.claimer.state.spool(); err != nil {
			return nil, c.claimer.unwritable("make a spool file", err)
		}
	}
	return c.spool, nil
}

// Shown ends the claim: the payload, or an error about it, is about to be written in an
// answer to a session. The caller calls settle once it is known whether the answer was
// written.
func (c *Claim) Shown(session string) (settle func(written bool)) {
	c.key.answered(session, c.until)
	return func(written bool) { c.claimer.keys.settled(c.key, written) }
}

// NotShown ends the claim: a large payload is not shown, for the reason why. The error
// is *Unsaved.
func (c *Claim) NotShown(why string, got *kubbi.Claimed) error {
	return c.unsaved(errors.New(why), got, !got.Sealed())
}

// unsaved ends the claim, and keeps the payload. If the relay gives it again, the key is
// kept. If the service gives a payload once, its answer is kept in a file. A payload that is
// in memory stays there. inMemory allows to put it there, if the file can't be written or
// holds a sealed answer.
func (c *Claim) unsaved(err error, got *kubbi.Claimed, inMemory bool) *Unsaved {
	out := &Unsaved{Err: err}
	if got.Grace > 0 || c.key.payload != nil {
		out.Grace = c.Left().Round(time.Second)
		c.key.lost(c.until)
		return out
	}
	kept, kerr := c.claimer.state.keepAnswer(got)
	if kerr != nil {
		c.claimer.log.Error("keep the answer to a claim", "error", kerr)
	}
	out.Kept = kept
	if inMemory && (kerr != nil || got.Sealed()) && Size(got) <= maxHeldBytes {
		if got.Load() == nil {
			c.keepInMemory(got)
			out.Grace = keptInMemory
			c.key.lost(c.until)
			return out
		}
	}
	c.key.drop()
	return out
}

func (c *Claim) options() []kubbi.ClaimOption {
	opts := []kubbi.ClaimOption{kubbi.WithIdempotencyKey(c.key.Key), kubbi.HoldGrace(), kubbi.WithProgress(c.Progress)}
	if c.Seen != nil {
		opts = append(opts, kubbi.WithInspected(c.Seen))
	}
	return opts
}

// unwritable says that the data directory can't be written.
func (c *Claimer) unwritable(what string, err error) error {
	c.log.Error(what, "error", err)
	return files.Refusal("the data directory can't be written: tell your user")
}

// Size is how many bytes a payload has.
func Size(got *kubbi.Claimed) (n int64) {
	for _, p := range got.Parts {
		n += p.Size
	}
	return n
}
