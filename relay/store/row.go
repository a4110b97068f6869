package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Row is a kubbi as backends store it, without its payload. Its methods are the logic that
// all backends share. In one transaction a backend locks and reads a row, calls Claim,
// Release, Delete or Sweep, then Notices and Finish, and writes the row and the notices.
type Row struct {
	Life
	Number                        Number
	ID                            uuid.UUID
	Hash                          Hash // of the claim token
	Owner, MasterKey, ContentType string
	Package                       bool
	FileCount                     int
	Size                          int64
	Created                       Millis
	Secret                        Secret
	Record, Notify                []byte
	CreateKey                     Hash // not set if KeyUntil is Never
	Graces                        Graces

	Due  Millis // a sweep must visit the row at this time at the latest; if Done: when the kubbi ended
	Done bool   // it is a tombstone, and nothing happens to it before the retention has passed

	Events []Event // since the row was read
}

// NewRow makes the row of a new kubbi. A create key with a grace of less than a millisecond
// is ignored: KeyUntil is Never then.
func NewRow(k *Kubbi, key *CreateKey, now Millis) (Row, error) {
	id, n, err := ParseID(k.ID)
	if err != nil {
		return Row{}, err
	}
	if n != k.Token.Number {
		return Row{}, fmt.Errorf("%w: the id does not carry the token's number", ErrExists)
	}
	if len(k.Record) > MaxRecord {
		return Row{}, fmt.Errorf("record of %d bytes is longer than %d", len(k.Record), MaxRecord)
	}
	r := Row{
		Life:   Life{MaxRetrievals: k.MaxRetrievals, First: Never, Last: Never, Ended: Never, Expires: MillisOf(k.ExpiresAt), Sealed: true, KeyUntil: Never},
		Number: n, ID: id, Hash: k.Token.Hash, Owner: k.Owner, MasterKey: k.MasterKey, ContentType: k.ContentType,
		Package: k.Package, FileCount: k.FileCount, Size: k.Size, Created: MillisOf(k.CreatedAt),
		Secret: k.Secret, Record: k.Record, Notify: k.Notify, Graces: noGraces,
	}
	if key != nil && key.Grace >= time.Millisecond {
		r.CreateKey, r.KeyUntil = key.Key, now.After(key.Grace)
	}
	r.Due = r.due(Never)
	return r, nil
}

// Reset empties the row, so that a backend can read into it.
func (r *Row) Reset() { *r = Row{Graces: noGraces} }

// Is reports whether the row belongs to a token. Number and hash must both match.
func (r *Row) Is(t Token) bool { return r.Number == t.Number && r.Hash == t.Hash }

// Kubbi is the row as callers see it. It has Secret, Record and Notify only while it is
// active.
func (r *Row) Kubbi() Kubbi {
	k := r.tombstone()
	if r.Status == Active {
		k.Notify, k.Secret, k.Record = r.Notify, r.Secret, r.Record
	}
	return k
}

// tombstone is the row without the fields that are wiped.
func (r *Row) tombstone() Kubbi {
	return Kubbi{
		ID:               r.ID.String(),
		Owner:            r.Owner,
		Token:            Token{Number: r.Number, Hash: r.Hash},
		MasterKey:        r.MasterKey,
		Package:          r.Package,
		ContentType:      r.ContentType,
		FileCount:        r.FileCount,
		Size:             r.Size,
		MaxRetrievals:    r.MaxRetrievals,
		Retrievals:       r.Retrievals,
		FirstRetrievedAt: r.First.Time(),
		LastRetrievedAt:  r.Last.Time(),
		Status:           r.Status,
		CreatedAt:        r.Created.Time(),
		ExpiresAt:        r.Expires.Time(),
		EndedAt:          r.Ended.Time(),
	}
}

// Expire is Life.Expire, and adds the event. Every call must use it before it looks at the
// status.
func (r *Row) Expire(now Millis) bool {
	expired := r.Life.Expire(now)
	if expired {
		r.Events = append(r.Events, EventExpired)
	}
	return expired
}

// ClaimRequest holds the arguments of Store.Claim.
type ClaimRequest struct {
	Token Token
	Key   *ClaimKey // nil: a claim without a key
	Opens []string  // ids of the caller's master keys; nil: all
	Now   Millis
}

// NewClaimRequest makes a ClaimRequest. It ignores a key with a grace of less than a
// millisecond.
func NewClaimRequest(token Token, key *ClaimKey, opens []string, now time.Time) ClaimRequest {
	if key != nil && key.Grace < time.Millisecond {
		key = nil
	}
	return ClaimRequest{Token: token, Key: key, Opens: opens, Now: MillisOf(now)}
}

// KeyHash is the hash of the key. Without a key it is zero, which is the hash of no key.
func (c *ClaimRequest) KeyHash() (key Hash) {
	if c.Key != nil {
		key = c.Key.Key
	}
	return key
}

// Grace is the grace of the claim after it was counted as the retrieval with that number.
func (c *ClaimRequest) Grace(number int) Grace {
	return Grace{Until: c.Now.After(c.Key.Grace), Number: number, At: c.Now}
}

// Claim decides a claim of the row. It counts the claim, unless a grace is open for its key.
// In that case the claim is a replay: the row becomes what it was right after the first claim,
// and must not be written back.
//
// After Claim, Retrievals is the number of this retrieval. The row still has Secret and Record
// for the answer; Finish wipes them.
func (r *Row) Claim(c *ClaimRequest) (replay bool, err error) {
	r.Expire(c.Now)
	opens := c.Opens == nil || slices.Contains(c.Opens, r.MasterKey)
	if c.Key != nil && r.Sealed {
		if g := r.Graces.of(c.Key.Key); g.Until > c.Now {
			if !opens {
				return false, ErrMasterKey
			}
			r.rewind(g)
			return true, nil
		}
	}
	if err := r.Status.Err(); err != nil {
		if c.Key != nil {
			err = errors.Join(err, r.otherKey(c.Now))
		}
		return false, err
	}
	if !opens {
		return false, ErrMasterKey
	}
	r.Count(c.Now) // The claim counts, as soon as the backend has committed the row.
	r.Events = append(r.Events, EventClaimed)
	if r.Status == Burned {
		r.Events = append(r.Events, EventBurned)
	}
	if c.Key != nil {
		r.Graces.add(c.Key.Key, c.Grace(r.Retrievals), c.Now)
	}
	return false, nil
}

// otherKey returns ErrOtherKey if the grace of another key is open, else nil.
func (r *Row) otherKey(now Millis) error {
	if r.Sealed && r.Graces.last() > now {
		return ErrOtherKey
	}
	return nil
}

// Claimed is the answer to a claim that Claim has decided.
func (r *Row) Claimed(replay bool, payload io.ReadCloser) *Claimed {
	k := r.Kubbi()
	k.Secret, k.Record = r.Secret, r.Record
	return &Claimed{Kubbi: k, Number: r.Retrievals, Burned: r.Status == Burned, Replay: replay, Payload: payload}
}

// Release ends the grace of a claim's key, and reports whether it changed the row.
func (r *Row) Release(key Hash, now Millis) (changed bool, err error) {
	if !r.Sealed {
		return false, nil
	}
	if !r.Graces.end(key) {
		return false, r.otherKey(now)
	}
	r.Expire(now)
	return true, nil
}

// Delete makes an active row Deleted.
func (r *Row) Delete(now Millis) error {
	r.Expire(now)
	if err := r.Status.Err(); err != nil {
		return err
	}
	r.Status, r.Ended = Deleted, now
	r.Events = append(r.Events, EventDeleted)
	return nil
}

// Sweep expires the row and ends its graces and create key if their time has come. It reports
// whether the create key must be removed.
func (r *Row) Sweep(now Millis) (keyForgotten bool) {
	r.Expire(now)
	if r.Graces.last() <= now {
		r.Graces = noGraces
	}
	if keyForgotten = r.KeyUntil != Never && r.KeyUntil <= now; keyForgotten {
		r.KeyUntil = Never
	}
	return keyForgotten
}

// Finish wipes a row whose secret is no longer needed, and reports whether it did. It also
// sets Due. All keys of the payload are derived from the secret: once the backend has
// overwritten it, nobody can open the payload.
//
// A Due that is too early does no harm. So Finish makes it later only if exact is set. Then
// most claims and releases do not have to update an index.
func (r *Row) Finish(now Millis, exact bool) (wiped bool) {
	if r.Sealed && (r.Status == Deleted || r.Status != Active && r.Graces.last() <= now) {
		wiped = true
		r.Sealed, r.Secret, r.Record, r.Notify = false, Secret{}, nil, nil
		r.Graces = noGraces
	}
	switch due := r.due(r.Graces.last()); {
	case due == Never:
		r.Done, r.Due = true, r.Ended
	case exact || due < r.Due:
		r.Due = due
	}
	return wiped
}

// EndedBy is the event that ended the kubbi since the row was read, if one did.
func (r *Row) EndedBy() (Event, bool) {
	for _, e := range r.Events {
		if e != EventClaimed {
			return e, true
		}
	}
	return 0, false
}

// Notices makes the notices for the row's events. It must be called before Finish.
func (r *Row) Notices() []Notice {
	if r.Notify == nil {
		return nil
	}
	notices := make([]Notice, len(r.Events))
	for i, e := range r.Events {
		at := r.Ended
		if e == EventClaimed {
			at = r.Last
		}
		k := r.tombstone()
		k.Notify = r.Notify
		notices[i] = Notice{ID: uuid.NewString(), Kubbi: k, Event: e, At: at.Time()}
	}
	return notices
}

// Replay answers a create with the key of this row. request and answer are those that were
// stored with the first create. For a different request it returns ErrKeyReused.
func (r *Row) Replay(key *CreateKey, request, answer []byte) (*Replay, error) {
	if !bytes.Equal(request, key.Request[:]) {
		return nil, ErrKeyReused
	}
	first := *r
	first.Status, first.Retrievals = Active, 0
	first.First, first.Last, first.Ended = Never, Never, Never
	return &Replay{Kubbi: first.Kubbi(), Answer: answer}, nil
}
