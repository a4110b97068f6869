// Package store defines the store of a relay. The comments of Store are its specification:
// storetest has a case for each sentence. The logic that all backends share is in Row.
//
// A store gets only sealed payloads and hashes of tokens and keys. It has no clock: every
// call that depends on the time gets the time as an argument, so that many nodes agree and
// tests can choose the time. All times are UTC; a store keeps milliseconds.
//
// A store wipes a kubbi by overwriting its Secret. Every key of the kubbi is derived from the
// Secret, so nobody can open any copy of the payload after that.
package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"
)

// The errors of a Store, matched with errors.Is. Any other error, except that of the
// context, is a failure of the store itself (disk, connection).
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
	ErrUnavailable = errors.New("store unavailable") // a lost connection, a lock that took too long: worth a retry
	ErrFull        = errors.New("no storage left")   // for a create; the error that wraps it has the figures
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

// Err is the error of a call on a kubbi with that status; nil for Active.
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

// Token identifies a kubbi by its claim token: the number at the beginning of the token, and
// the hash of the whole token.
type Token struct {
	Number Number `json:"n"`
	Hash   Hash   `json:"h"`
}

// Kubbi is everything that a store keeps about a kubbi except its payload.
//
// As JSON it is part of a stored notice. The names are short, since on a full disk the notice
// must fit into the space of the wiped payload.
type Kubbi struct {
	ID          string `json:"i"` // a UUID in lower case that carries Token.Number: see Number.ID
	Owner       string `json:"o"` // the APIKey.Owner that created it
	Token       Token  `json:"t"`
	MasterKey   string `json:"k"`           // id of the master key that it is sealed under
	Secret      Secret `json:"-"`           // not zero in Create; zero once terminal
	Package     bool   `json:"p,omitzero"`  // a package of files; else a single content
	ContentType string `json:"ct,omitzero"` // single content
	FileCount   int    `json:"f,omitzero"`  // package
	Size        int64  `json:"s,omitzero"`  // bytes of the payload before sealing
	Record      []byte `json:"-"`           // sealed: file names and metadata, to which the payload is bound; at most MaxRecord bytes; nil once terminal
	Notify      []byte `json:"y,omitzero"`  // sealed: where notices of events go; nil: there are none; nil once terminal

	MaxRetrievals    int       `json:"m,omitzero"` // 0: unlimited
	Retrievals       int       `json:"r,omitzero"`
	FirstRetrievedAt time.Time `json:"rf,omitzero"` // zero: never
	LastRetrievedAt  time.Time `json:"rl,omitzero"`

	Status    Status    `json:"st,omitzero"`
	CreatedAt time.Time `json:"c"`
	ExpiresAt time.Time `json:"x"`
	EndedAt   time.Time `json:"e,omitzero"` // when the status became terminal; zero while active
}

// MaxInRow is the longest sealed payload, in bytes, that a store keeps in its data base: 256
// KiB and what sealing adds. For a payload up to this size, syncing a separate file costs more
// than writing the payload twice, to the log and to the table.
const MaxInRow = 256<<10 + 1<<10

// MaxRecord is the longest Kubbi.Record that a store must accept, in bytes.
const MaxRecord = 256 << 10

// CreateKey makes a create idempotent.
type CreateKey struct {
	Key     Hash          // hash of owner and Idempotency-Key
	Request Hash          // keyed hash of the request, to detect reuse of the key for another one; the caller may set it as late as the end of the payload
	Answer  []byte        // sealed: what is needed to give a replay the same answer
	Grace   time.Duration // how long replays are answered; below a millisecond: the key is ignored
}

// ClaimKey makes a claim idempotent.
type ClaimKey struct {
	Key   Hash
	Grace time.Duration // as in CreateKey
}

// Quota limits an owner's creates. Zero fields don't limit.
type Quota struct {
	Daily  int // kubbis created in a day of UTC, including ended ones
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

// Notice is an event that waits to be delivered to Kubbi.Notify.
type Notice struct {
	ID       string // a UUID; the same in every attempt
	Kubbi    Kubbi  // as it was right after the event, without Secret and Record; Notify is always there
	Event    Event
	At       time.Time // of the event
	Attempts int       // how often Notices has returned it, including this time
}

// State is the part of a kubbi that claims, deletes and time change.
type State struct {
	Number     Number
	Status     Status
	Retrievals int
}

// Mark says up to which change a call of States has looked.
type Mark int64

// Stats are the statistics of a store. Kubbis that have expired count as Active until a Sweep
// has visited them.
type Stats struct {
	Active, Expired, Burned, Deleted int
	Bytes                            int64 // sum of Size of all payloads that are not wiped yet
	Notices                          int   // waiting for delivery
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
// An Active kubbi whose ExpiresAt is not after now is Expired in every call, even if no sweep
// has visited it: it is returned as Expired, with EndedAt = ExpiresAt, and counts as ended.
//
// Wiping means that the kubbi's Secret is overwritten. After that nobody can open its payload
// and Record, even with a copy of them, the master key and the claim token. The call that
// wipes a kubbi makes it a tombstone, without Secret and Record. Within a second after that
// call no file of the store has the Secret; Delete returns only when no file has it. If a
// process ends before that, the next Open or Sweep completes it. Payload and Record are
// removed at some later time. A backend that does not write its files itself says in its
// package comment what remains, and for how long.
type Store interface {
	// Create stores k and its sealed payload in one atomic step. It reads the payload once,
	// to its end. If the payload returns an error, Create returns this error unchanged and
	// stores nothing. If the number, id or token is in use, or the ID does not contain
	// Token.Number, the error is ErrExists. If the number is in use by a create that has not
	// ended, or whose process has died within seconds, it may match ErrUnavailable, too.
	//
	// With a key that is new, or whose grace has ended, Create stores k and returns nil. If
	// the key was used within its grace for an equal Request, Create stores nothing and
	// returns the Replay of the first call, even if k has its number, id and token. Then it
	// may have read a part of the payload, and Secret and Record are missing in the Replay if
	// they are wiped by now. For another Request it returns ErrKeyReused.
	//
	// If a quota is used up, the error is ErrDailyQuota or ErrActiveQuota, and nothing is
	// stored. Even if creates of an owner race, on any number of nodes, no more succeed than
	// the quota allows. The day of Daily is that of now. A replay is answered even if a quota
	// is used up. Active counts all active kubbis of the owner; Daily counts those that were
	// created on that day with a Daily quota.
	//
	// If less storage is left than the store keeps in reserve for claims, deletes and expiry,
	// the error is ErrFull, and nothing is stored.
	Create(ctx context.Context, k *Kubbi, payload io.Reader, key *CreateKey, quota Quota, now time.Time) (*Replay, error)

	// Inspect returns the active kubbi with that token, and counts nothing. If there is no
	// active kubbi, the error is ErrNotFound, ErrExpired, ErrBurned or ErrDeleted.
	Inspect(ctx context.Context, token Token, now time.Time) (*Kubbi, error)

	// Claim is one atomic step: it checks status, expiry and count, counts one retrieval, and
	// returns the payload. The claim that reaches MaxRetrievals sets Burned. Even if claims
	// race, on any number of nodes, exactly MaxRetrievals of them succeed, and later claims
	// get ErrBurned.
	//
	// The last claim, if it has no key, wipes the payload at once, unless the grace of an
	// earlier claim is still open.
	//
	// If the same key has claimed this kubbi before and its grace is still open, the claim is
	// a replay: it counts nothing and returns what the first claim returned. This holds even
	// if the kubbi was burned or has expired since, but not if it was deleted. Replays do not
	// prolong the grace. The payload of a burned or expired kubbi is wiped when its last open
	// grace ends, by Release or by Sweep.
	//
	// opens are the ids of the master keys that the caller has; nil: all. If the kubbi's
	// MasterKey is not one of them, the error is ErrMasterKey.
	//
	// The other errors are those of Inspect, and ErrDamaged if the payload is missing. A
	// failed claim counts nothing. If the kubbi has ended while the grace of another key is
	// open, the error of a claim with a key also matches ErrOtherKey: the key may be a guess.
	//
	// If the kubbi has Notify, a counted claim makes an EventClaimed notice, and the last one
	// also an EventBurned notice after it.
	Claim(ctx context.Context, token Token, key *ClaimKey, opens []string, now time.Time) (*Claimed, error)

	// Release ends the grace of the claim with that key. If the kubbi is terminal and no other
	// grace is open, it wipes the payload. For an unknown token the error is ErrNotFound. If
	// the key has no open grace and another key has one, the error is ErrOtherKey. Otherwise a
	// repeated release is no error.
	Release(ctx context.Context, token Token, key Hash, now time.Time) error

	// Get returns a kubbi of the owner, in any status. If there is none, or it has another
	// owner, the error is ErrNotFound.
	Get(ctx context.Context, owner, id string, now time.Time) (*Kubbi, error)

	// List returns a page of the owner's kubbis in any status, by their numbers, newest first.
	// Pages with anchors of one list show the list as it was at the first page: they have no
	// kubbi with a higher number than there was then. If the pages are read in order, no kubbi
	// is there twice, and none is missing unless it was removed. A create that runs at the same
	// time may be included. A page beyond the end is empty, and the last page costs no more
	// than the first.
	//
	// With a Status the list and its Total have only the kubbis with that status now.
	List(ctx context.Context, owner string, p Page, now time.Time) (*Listed, error)

	// Delete ends an active kubbi of the owner, wipes it at once, even if a grace is open, and
	// returns it as Deleted. If the kubbi is not active, the error is ErrExpired, ErrBurned or
	// ErrDeleted. If there is none, or it has another owner, the error is ErrNotFound. If the
	// kubbi has Notify, Delete makes an EventDeleted notice.
	Delete(ctx context.Context, owner, id string, now time.Time) (*Kubbi, error)

	// States returns the states of the kubbis with these numbers, in any order. It leaves out
	// numbers without a kubbi. since is 0, or the mark of an earlier call on this Store. If
	// nothing was written since that call, in any Store, States may return the same mark and
	// no states, even if a kubbi has expired meanwhile.
	States(ctx context.Context, numbers []Number, since Mark, now time.Time) ([]State, Mark, error)

	// Sweep does at most limit pieces of the work that is due, in one transaction, so other calls
	// may wait longer if limit is larger. It sets kubbis Expired and wipes them, wipes kubbis
	// whose last grace has ended, forgets keys whose grace has ended, and removes tombstones that
	// ended before now - retention. It does not remove a tombstone as long as the grace of its
	// create key is open. If it sets a kubbi with Notify Expired, it makes an EventExpired notice
	// with the time ExpiresAt. Any number of sweeps may run at the same time.
	Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (Swept, error)

	// Due returns when a Sweep will next have to expire or wipe a kubbi; zero: never. The time
	// may be too early, but not too late, except for kubbis that are created or claimed after
	// the call.
	Due(ctx context.Context) (time.Time, error)

	// MasterKeys returns the ids of the master keys of all payloads that are not wiped yet, and
	// of the kubbis of all waiting notices, each id once.
	MasterKeys(ctx context.Context) ([]string, error)

	// Notices leases at most limit notices that are due, and returns them, oldest first. No
	// caller gets one of them again before now + lease. A new notice is due at once. The
	// notices of one kubbi may come in any order.
	Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Notice, error)

	// NoticeLater makes a notice due at that time. It is no error if the notice does not exist.
	NoticeLater(ctx context.Context, id string, due time.Time) error

	// NoticeDone removes a notice. It is no error if the notice does not exist.
	NoticeDone(ctx context.Context, id string) error

	// CountUses counts up to n more uses of a bucket, but only so many that the sum of the
	// window does not exceed limit. It returns how many it counted, and the sum. The window
	// has the given length, of at least a millisecond, and contains now; windows start at
	// multiples of their length since 1970. Even if calls race, on any number of nodes, the sum
	// never exceeds limit. Sweep forgets windows that have ended.
	CountUses(ctx context.Context, bucket Hash, window time.Duration, n, limit int, now time.Time) (counted, sum int, err error)

	// PutAPIKey stores a key. A key with the same hash that is already stored stays unchanged.
	PutAPIKey(ctx context.Context, k APIKey) error

	// APIKey returns the key with that hash, even if it has expired or was revoked, or
	// ErrNotFound.
	APIKey(ctx context.Context, hash Hash) (*APIKey, error)

	// APIKeys returns all keys, including expired and revoked ones, oldest first.
	APIKeys(ctx context.Context) ([]APIKey, error)

	// RevokeAPIKey sets a key's RevokedAt, unless it is already set, and returns the key. For
	// an unknown key the error is ErrNotFound.
	RevokeAPIKey(ctx context.Context, hash Hash, now time.Time) (*APIKey, error)

	// Stats counts what is in the store. It may be a few seconds old.
	Stats(ctx context.Context) (*Stats, error)

	// Ping returns nil when the store can be read.
	Ping(ctx context.Context) error

	// Skew returns by how much the clock of the machine with the data is ahead of this
	// process's clock; 0: it is the same machine.
	Skew(ctx context.Context) (time.Duration, error)

	// Close waits for running calls, completes its writes, and closes the store. Calls after
	// Close return an error. Closing twice is no error.
	Close() error
}

// Replay is the first answer to a create that is repeated with the same key.
type Replay struct {
	Kubbi         // as it was stored
	Answer []byte // CreateKey.Answer of the first call
}
