// Package store says what a relay keeps and how it may be changed. The comments of
// Store are its specification: storetest has a case for each sentence. What all
// backends decide alike about a kubbi is in Row.
//
// A store sees only sealed payloads and hashes of tokens and keys. It has no
// clock: every call that depends on the time is given it, so that many nodes
// can agree and tests can decide. All times are UTC; a store keeps milliseconds.
//
// A store forgets a kubbi by its Secret. Every key of the kubbi is derived from it,
// so once the Secret is overwritten, nobody opens any copy of the payload.
package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"
)

// The errors of a Store, matched with errors.Is. An error that is none of
// them, nor the context's, is the store's own fault (disk, connection).
var (
	ErrNotFound    = errors.New("no such kubbi")
	ErrOtherKey    = errors.New("claims under other idempotency keys may still be repeated, and none under this one")
	ErrExpired     = errors.New("kubbi expired")
	ErrBurned      = errors.New("kubbi burned")
	ErrDeleted     = errors.New("kubbi deleted")
	ErrExists      = errors.New("id or claim token already in use")
	ErrKeyReused   = errors.New("idempotency key used before with another request")
	ErrDailyQuota  = errors.New("daily quota of kubbis used up")
	ErrActiveQuota = errors.New("quota of active kubbis used up")
	ErrMasterKey   = errors.New("kubbi is sealed under a master key that the caller does not have")
	ErrUnavailable = errors.New("store unavailable") // a lost connection, a lock not got in time: worth a retry
	ErrFull        = errors.New("no storage left")   // for a create; the error that wraps it says the figures
	ErrDamaged     = errors.New("stored kubbi is damaged")
	ErrClosed      = errors.New("store is closed")

	// The errors of a backend's Open.
	ErrNewer = errors.New("store was written by a newer version")
	ErrOlder = errors.New("store was written by an older version")
)

// Status is where a kubbi is in its life.
type Status int8

// The statuses. All but Active are terminal.
const (
	Active Status = iota
	Expired
	Burned
	Deleted
)

// Err is the error of a call on a kubbi of that status, nil for Active.
func (s Status) Err() error {
	switch s {
	case Active:
		return nil
	case Expired:
		return ErrExpired
	case Burned:
		return ErrBurned
	case Deleted:
		return ErrDeleted
	}
	return fmt.Errorf("unknown status %d", s)
}

// Hash is the SHA-256 of a claim token, an API key or an idempotency key.
type Hash [32]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, h[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.AppendDecode(nil, text)
	if err != nil || len(b) != len(h) {
		return errors.New("not a hash")
	}
	*h = Hash(b)
	return nil
}

// Secret is 32 random bytes. All keys of one kubbi are derived from its Secret and
// the master key. A wiped kubbi has the zero Secret.
type Secret [32]byte

// Token finds a kubbi for its consumers: the number that its claim token begins
// with, and the hash of the whole token.
type Token struct {
	Number Number `json:"n"`
	Hash   Hash   `json:"h"`
}

// Kubbi is everything that a store knows of a kubbi except its payload.
//
// As JSON it is a part of a stored notice. It is short there, since a notice must
// find room on a full disk where the payload was.
type Kubbi struct {
	ID          string `json:"i"` // a UUID in lower case that carries Token.Number: see Number.ID
	Owner       string `json:"o"` // the APIKey.Owner that created it
	Token       Token  `json:"t"`
	MasterKey   string `json:"k"`           // id of the master key that it is sealed under
	Secret      Secret `json:"-"`           // never zero when it is created; zero once terminal
	Package     bool   `json:"p,omitzero"`  // a package of files; else a single content
	ContentType string `json:"ct,omitzero"` // single content
	FileCount   int    `json:"f,omitzero"`  // package
	Size        int64  `json:"s,omitzero"`  // bytes of the payload before sealing
	Record      []byte `json:"-"`           // sealed: what the payload is bound to, file names and metadata; at most MaxRecord bytes; nil once terminal
	Notify      []byte `json:"y,omitzero"`  // sealed: who is notified of events; nil: nobody; nil once terminal

	MaxRetrievals    int       `json:"m,omitzero"` // 0: unlimited
	Retrievals       int       `json:"r,omitzero"`
	FirstRetrievedAt time.Time `json:"rf,omitzero"` // zero: never
	LastRetrievedAt  time.Time `json:"rl,omitzero"`

	Status    Status    `json:"st,omitzero"`
	CreatedAt time.Time `json:"c"`
	ExpiresAt time.Time `json:"x"`
	EndedAt   time.Time `json:"e,omitzero"` // when the status became terminal; zero while active
}

// MaxInRow is the longest sealed payload, in bytes, that a store keeps with its
// row: 256 KiB and what sealing adds. For a shorter one the sync of a separate file
// costs more than writing the payload twice, to the log and to its place.
const MaxInRow = 256<<10 + 1<<10

// MaxRecord is the longest Kubbi.Record that a store must take, in bytes.
const MaxRecord = 256 << 10

// CreateKey makes a create idempotent.
type CreateKey struct {
	Key     Hash          // hash of owner and Idempotency-Key
	Request Hash          // keyed hash of the request, to tell reuse with another one; may be set until the payload has ended
	Answer  []byte        // sealed: what a replay needs to give the same answer
	Grace   time.Duration // how long a replay is answered; below a millisecond: the key counts for nothing
}

// ClaimKey makes a claim idempotent.
type ClaimKey struct {
	Key   Hash
	Grace time.Duration // as in CreateKey
}

// Quota limits an owner's creates. Zero fields don't limit.
type Quota struct {
	Daily  int // kubbis created in a day of UTC, ended ones included
	Active int // kubbis that are active at the same time
}

// Claimed is a successful claim.
type Claimed struct {
	Kubbi                 // as it was right after the claim was counted; Secret and Record are always there
	Number  int           // which retrieval this was, from 1; the same in a replay
	Burned  bool          // this claim was the last allowed one; the same in a replay
	Replay  bool          // the same key had claimed before, and nothing was counted
	Payload io.ReadCloser // the sealed payload; it ends with the claim's context; the caller closes it
}

// APIKey is a producer's key.
type APIKey struct {
	Hash      Hash
	Owner     string // whose kubbis it creates and sees
	Label     string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: valid

	// Limits, which the relay enforces. Zero fields don't limit.
	MaxTTL   time.Duration // of a kubbi; whole seconds
	MaxBytes int64         // of a kubbi's payload
	Rate     int           // producer requests in a minute
	Quota    Quota
}

// Valid reports whether the key may be used at that time.
func (k *APIKey) Valid(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(now))
}

// Event is something that happened to a kubbi.
type Event int8

// The events.
const (
	EventClaimed Event = iota // a retrieval was counted
	EventBurned               // it was the last one
	EventExpired
	EventDeleted
)

// Notice says that somebody must be notified of an event.
type Notice struct {
	ID       string // a UUID; the same in every attempt
	Kubbi    Kubbi  // as it was right after the event, without Secret and Record; Notify is always there
	Event    Event
	At       time.Time // of the event
	Attempts int       // how often Notices has handed it out, this time included
}

// Stats is what a store holds. Kubbis that have expired count as Active until
// a Sweep has seen them.
type Stats struct {
	Active, Expired, Burned, Deleted int
	Bytes                            int64 // sum of Size of all payloads that are not wiped yet
	Notices                          int   // waiting
}

// Page asks for one page of a list.
type Page struct {
	Number int    // from 1
	Limit  int    // at least 1
	Anchor Anchor // zero, or Listed.Anchor of an earlier page

	Status *Status // only kubbis of that status; nil: of any
}

// Listed is one page of a list.
type Listed struct {
	Kubbis []Kubbi
	Total  int    // of the whole list
	Anchor Anchor // pass it on for the next page; never zero
}

// Anchor is a cursor that keeps a list stable while its pages are read: the page
// after the one that gave the anchor continues where that page ended.
type Anchor struct {
	Newest Number // above all numbers of the list
	Page   int    // the page that gave the anchor
	After  Number // the last number on that page
}

// Swept is what a sweep did.
type Swept struct {
	Expired int  // kubbis that became Expired
	Wiped   int  // payloads wiped because their last grace ended
	Removed int  // tombstones removed
	More    bool // the limit was reached: sweep again
}

// Store keeps kubbis. It is safe for concurrent use by many goroutines, and
// several Stores, in several processes or on several nodes, may be open on the
// same data at once: every promise below holds across all of them.
//
// A call whose context has ended before it started changes nothing and returns
// the context's error. A call whose context ends while it runs returns the
// context's error or its result; the change it asked for is then either made
// whole or not made.
//
// A nil error means that the change is durable: it survives the end of the
// process and a loss of power.
//
// A kubbi whose ExpiresAt is not after now counts as Expired in every call,
// whether or not a sweep has seen it: an Active one is returned, and counted
// as ended, as Expired with EndedAt = ExpiresAt.
//
// Wiping means that the kubbi's Secret is overwritten, so that nothing opens
// its payload and Record any more, even with a copy of them, the master key
// and the claim token. The call that wipes makes it a tombstone, without Secret
// and Record; within a second after the call no file of the store holds the
// Secret, and after Delete none holds it when the call returns. If a process
// ends before that, the next Open or Sweep does it. Payload and Record are
// removed when it is convenient. A backend that does not write its files itself
// says in its package comment what remains, and for how long.
type Store interface {
	// Create stores k and its sealed payload in one step, durable when it
	// returns. It reads the payload once, to its end; an error from the payload
	// is returned as it is, and nothing is stored. A number, id or token already
	// in use is ErrExists, and so is a Token.Number that does not fit the ID.
	//
	// With a key that is new, or whose grace has ended, it creates k and
	// returns nil. With a key used within its grace for an equal Request it
	// creates nothing and returns the Replay of the first call, in which Secret
	// and Record are missing if they are wiped by now; it may have read some of
	// the payload. For another Request it returns ErrKeyReused.
	//
	// A quota that is used up is ErrDailyQuota or ErrActiveQuota, and nothing
	// is stored. However many creates of an owner race, on however many nodes,
	// no more succeed than its quota allows; the day is that of now. A
	// replay is answered even if a quota is used up. Active counts all active kubbis
	// of the owner, Daily those of the day that were created under a Daily.
	//
	// When less storage is left than the store keeps in reserve for claims,
	// deletes and expiry, the error is ErrFull, and nothing is stored.
	Create(ctx context.Context, k *Kubbi, payload io.Reader, key *CreateKey, quota Quota, now time.Time) (*Replay, error)

	// Inspect returns the active kubbi with that token, and counts nothing.
	// ErrNotFound, ErrExpired, ErrBurned and ErrDeleted say why there is none.
	Inspect(ctx context.Context, token Token, now time.Time) (*Kubbi, error)

	// Claim is one atomic step: it checks status, expiry and count, counts one
	// retrieval, and returns the payload; the claim that reaches MaxRetrievals
	// sets Burned. However many calls race, on however many nodes, exactly
	// MaxRetrievals of them succeed, and those after get ErrBurned.
	//
	// Without a key the last claim wipes the payload at once, unless the grace
	// of an earlier claim is still open.
	//
	// With a key that claimed this kubbi before and whose grace is still open
	// it counts nothing and returns what that call returned, also when the
	// kubbi was burned or has expired since, though not when it was deleted.
	// Replays do not prolong the grace. The payload of a burned or expired
	// kubbi is wiped when its last open grace ends, by Release or by Sweep.
	//
	// A kubbi whose MasterKey is not in opens is ErrMasterKey; nil means all keys.
	//
	// The other errors are Inspect's, and a failed claim counts nothing; if the
	// payload is missing, it is ErrDamaged. If the kubbi has ended while the grace of
	// another key is open, the error of a claim with a key is ErrOtherKey as well:
	// the key may be a guess.
	//
	// If the kubbi has Notify, a counted claim leaves an EventClaimed notice,
	// and the last one an EventBurned notice after it.
	Claim(ctx context.Context, token Token, key *ClaimKey, opens []string, now time.Time) (*Claimed, error)

	// Release ends the grace of the claim made with that key, and wipes the
	// payload if the kubbi is terminal and no other grace is open. A token that is
	// not there is ErrNotFound. If the key has no grace, while one of another key
	// is open, it is ErrOtherKey; else releasing again is no error.
	Release(ctx context.Context, token Token, key Hash, now time.Time) error

	// Get returns that owner's kubbi, in any status. It is ErrNotFound if there is
	// none or it is someone else's.
	Get(ctx context.Context, owner, id string, now time.Time) (*Kubbi, error)

	// List returns a page of the owner's kubbis in any status, newest first: by
	// their numbers. Pages asked for with the same Anchor show the list as of the
	// first of them: no kubbi with a higher number than there was then and, if they
	// are read in order, none twice, and none left out unless it was removed. A
	// create that is under way meanwhile may be in them. A page beyond the end is
	// empty, and the last page costs no more than the first.
	//
	// With a Status the list, and its Total, hold only the kubbis that have that
	// status now.
	List(ctx context.Context, owner string, p Page, now time.Time) (*Listed, error)

	// Delete ends the owner's active kubbi, wipes it at once even if a grace is
	// open, and returns it as Deleted. One that is not active is ErrExpired,
	// ErrBurned or ErrDeleted; none, or someone else's, is ErrNotFound. If it
	// has Notify, an EventDeleted notice is left.
	Delete(ctx context.Context, owner, id string, now time.Time) (*Kubbi, error)

	// Sweep does at most limit pieces of the work that time brings: it sets
	// Expired and wipes, wipes where the last grace has ended, forgets keys
	// whose grace has ended, and removes tombstones that ended before
	// now - retention, but none that a key in its grace still leads to. A kubbi
	// with Notify that it sets Expired leaves an EventExpired notice, as of its
	// ExpiresAt. It may run in many places at once.
	Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (Swept, error)

	// Due returns when a Sweep will next have something to expire or to wipe, as far
	// as is known now; zero if there is nothing. It may be too early, never too late.
	// It does not know what is created or claimed later.
	Due(ctx context.Context) (time.Time, error)

	// MasterKeys returns the ids of the master keys that payloads not yet
	// wiped, or kubbis of waiting notices, are sealed under, each once.
	MasterKeys(ctx context.Context) ([]string, error)

	// Notices hands out at most limit notices that are due, oldest first; none
	// of them is due again, for anybody, before now + lease. A new notice is
	// due at once. Those of one kubbi need not come in order.
	Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Notice, error)

	// NoticeLater makes a notice due at that time. One that is not there is no
	// error.
	NoticeLater(ctx context.Context, id string, due time.Time) error

	// NoticeDone removes a notice. One that is not there is no error.
	NoticeDone(ctx context.Context, id string) error

	// CountUses counts up to n more uses of bucket in the window of that length that
	// now is in (windows start at multiples of it since 1970), as many as leave
	// their sum at or below limit, and returns how many it counted and the sum.
	// However many calls race, on however many nodes, the sum never passes limit.
	// Sweep forgets windows that have ended.
	CountUses(ctx context.Context, bucket Hash, window time.Duration, n, limit int, now time.Time) (counted, sum int, err error)

	// PutAPIKey stores a key. One that is there already stays as it is.
	PutAPIKey(ctx context.Context, k APIKey) error

	// APIKey returns the key with that hash, expired and revoked ones too, or
	// ErrNotFound.
	APIKey(ctx context.Context, hash Hash) (*APIKey, error)

	// APIKeys returns all keys, expired and revoked ones too, oldest first.
	APIKeys(ctx context.Context) ([]APIKey, error)

	// RevokeAPIKey sets a key's RevokedAt unless it is set, and returns the
	// key; none is ErrNotFound.
	RevokeAPIKey(ctx context.Context, hash Hash, now time.Time) (*APIKey, error)

	// Stats counts what is in the store. It may be a few seconds old.
	Stats(ctx context.Context) (*Stats, error)

	// Ping returns nil when the store can be read.
	Ping(ctx context.Context) error

	// Skew is by how much the clock of the machine that keeps the data is ahead of
	// this process's clock; 0 if it is the same machine.
	Skew(ctx context.Context) (time.Duration, error)

	// Close waits for running calls, writes back what it must, and releases
	// the store. Calls after it return an error. Closing twice is no error.
	Close() error
}

// Replay is the first answer to a create that is repeated with the same key.
type Replay struct {
	Kubbi         // as it was stored
	Answer []byte // CreateKey.Answer of the first call
}
