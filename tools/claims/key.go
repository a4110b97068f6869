package claims

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"kubbi-mcp/kubbi"
)

// key is the idempotency key of one claim. The claim that takes it from a keySet calls
// exactly one of answered, lost, drop, unused, failed and arrived.
type key struct {
	keyRecord

	set   *keySet
	hash  string   // of the claim token, and of whose key it is
	file  *keyFile // nil: the key is in memory alone
	owner bool     // no other claim of the URL is under way, so this key can be held

	begun   time.Time      // when the running claim began; the relay's grace begins no earlier
	session string         // of the client that got the answer
	written time.Time      // when the answer was written; zero: not yet
	payload *kubbi.Claimed // of a service that gives it once; nil: the relay has it
	release func()         // ends the relay's grace; nil: nothing to end
	dropped func()         // called when the key is dropped; nil: nothing to do
	expiry  *time.Timer    // while it is held
}

// keyRecord is what a key's file holds.
type keyRecord struct {
	Key      string    `json:"key"`
	Until    time.Time `json:"until"`    // until when it is usable; zero: it is new
	Answered bool      `json:"answered"` // the payload is in an answer
}

const (
	graceMargin  = time.Second // a key is not used in the last second of the relay's grace
	graceUnknown = time.Minute // the grace of a relay whose answer was lost
	keptInMemory = time.Minute // how long a payload is kept that its service gives once
)

func tokenHash(caller, token string) string {
	sum := sha256.Sum256([]byte("kubbi-mcp claim\x00" + caller + "\x00" + token))
	return hex.EncodeToString(sum[:])
}

// used reports whether a claim was made under this key before. It may have counted.
func (k *key) used() bool { return !k.Until.IsZero() }

// graceEnds is when the relay forgets the key, at the earliest. Repeating a claim does
// not begin its grace anew.
func (k *key) graceEnds(grace time.Duration) time.Time {
	end := k.begun.Add(grace)
	if before := k.Until.Add(graceMargin); k.used() && before.Before(end) {
		return before
	}
	return end
}

// renew makes it a new key.
func (k *key) renew() (err error) {
	k.keyRecord, k.payload, k.release, k.dropped = keyRecord{}, nil, nil, nil
	k.Key = kubbi.NewIdempotencyKey()
	if k.file != nil {
		err = k.file.write(keyRecord{Key: k.Key, Until: time.Now().Add(keysKept)})
	}
	if err != nil {
		k.leave()
		return errors.Join(err, k.closeFile())
	}
	return nil
}

// answered is called when the payload is in an answer, before the answer is written, since
// the client's next call may come at once. See keySet.settled.
func (k *key) answered(session string, until time.Time) {
	k.Answered, k.session, k.written = true, session, time.Time{}
	k.keep(until)
	k.hold()
	k.leave()
}

// lost is called when the payload has not reached the client: the next claim of the
// same URL gets the key.
func (k *key) lost(until time.Time) {
	k.Answered = false
	k.keep(until)
	if k.file != nil && k.payload == nil {
		_ = k.closeFile() // any process may take it
	} else {
		k.hold()
	}
	k.leave()
}

// keep notes how long the claim can be repeated.
func (k *key) keep(until time.Time) {
	k.Until = until.Add(-graceMargin)
	if k.payload != nil {
		k.removeFile() // the service does not know the key
	} else if k.file != nil {
		_ = k.file.write(k.keyRecord) // if this fails, the file has a later time
	}
}

// unused gives the key back as it was: no claim has been made.
func (k *key) unused() {
	switch {
	case !k.used():
		k.drop()
		return
	case k.Answered || k.payload != nil || k.file == nil:
		k.hold()
	default:
		_ = k.closeFile()
	}
	k.leave()
}

// failed is called after a claim that gave no payload.
func (k *key) failed(err error) {
	e, ok := errors.AsType[*kubbi.Error](err)
	switch {
	case errors.Is(err, kubbi.ErrGone), errors.Is(err, kubbi.ErrExpired):
		k.drop()
	case ok && e.Uncertain && !k.used():
		k.lost(time.Now().Add(graceUnknown))
	default:
		k.unused()
	}
}

// arrived is called when the payload is safe.
func (k *key) arrived() {
	k.endGrace()
	k.drop()
}

// endGrace tells the relay that it need not keep the payload.
func (k *key) endGrace() {
	if k.release != nil {
		k.release()
		k.release = nil
	}
}

// drop forgets the key.
func (k *key) drop() {
	k.payload = nil
	k.removeFile()
	k.leave()
	if k.dropped != nil {
		k.dropped()
		k.dropped = nil
	}
}

// hold keeps the key in the set. A key without a payload is kept only if no other claim of
// the URL is under way.
func (k *key) hold() {
	if k.payload != nil || k.owner {
		k.set.hold(k)
	}
}

// leave lets the next claim of the URL begin.
func (k *key) leave() {
	if k.owner {
		k.owner = false
		k.set.leave(k.hash)
	}
}

func (k *key) removeFile() {
	if k.file != nil {
		k.set.spares.put(k.file.lockedFile)
		k.file = nil
	}
}

func (k *key) closeFile() error {
	if k.file == nil {
		return nil
	}
	f := k.file
	k.file = nil
	return f.Close()
}

func (k *key) payloadSize() int {
	if k.payload == nil {
		return 0
	}
	n := len(k.payload.Content)
	for _, f := range k.payload.Files {
		n += len(f.Content)
	}
	return n
}
