package claims

import (
	"context"
	"crypto/cipher"
	"errors"
	"log/slog"
	"sync"
	"time"

	"kubbi-mcp/internal/flock"
	"kubbi-mcp/kubbi"
)

// Patience is how long a claim waits for another one of the same URL that is under way,
// such as one that was cancelled a moment ago.
const Patience = 5 * time.Second

// keySet holds the keys of a caller's claims.
//
// With a state each key is also in a file, so that another process can finish a claim
// whose process has died. The file is locked while this process has the key. It is
// encrypted under the claim token, which is not in the folder: the folder tells
// nothing, and nobody can claim with it.
type keySet struct {
	state    *State // nil: keys are in memory alone
	caller   string // whose keys they are
	log      *slog.Logger
	patience time.Duration

	spares spares

	mu       sync.Mutex
	underWay map[string]bool // by hash: claims under way
	held     map[string]*key // by hash: keys of claims whose answer may not have been read
	size     int             // bytes of the payloads in held
}

// Limits of what is held.
const (
	maxHeld      = 256      // keys, each with an open file
	maxHeldBytes = 16 << 20 // payloads of services that give them once
)

// take gives the key for a claim: the one that is held for its URL, or a new one. If another
// claim of the URL is under way, in this process or another, take waits a little, and then
// gives a new key that can't be held.
func (s *keySet) take(ctx context.Context, claimURL string) (*key, error) {
	u, err := kubbi.ParseClaimURL(claimURL)
	if err != nil {
		return nil, err
	}
	seal, err := sealOf(u.Token(), s.caller)
	if err != nil {
		return nil, err
	}
	hash := tokenHash(s.caller, u.Token())
	const pause = 20 * time.Millisecond
	for until := time.Now().Add(s.patience); ; {
		k := s.tryTake(hash, seal)
		if k == nil && (s.state.keyRecord(hash, seal).Answered || !time.Now().Before(until)) {
			k = &key{set: s, hash: hash}
		}
		if k != nil {
			k.begun = time.Now()
			if k.begun.Before(k.Until) {
				return k, nil
			}
			return k, k.renew()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// tryTake is take without waiting. It gives nil if another claim of the URL is under way.
func (s *keySet) tryTake(hash string, seal cipher.AEAD) *key {
	s.mu.Lock()
	k := s.held[hash]
	switch {
	case s.underWay[hash]:
		s.mu.Unlock()
		return nil
	case k != nil:
		s.remove(k)
	case s.underWay == nil:
		s.underWay = map[string]bool{}
	}
	s.underWay[hash] = true
	s.mu.Unlock()
	if k != nil {
		k.owner = true
		return k
	}
	k = &key{set: s, hash: hash, owner: true}
	if s.state == nil {
		return k
	}
	f, err := s.spares.take(s.state.path(keysFolder, hash)), error(nil)
	if f == nil {
		f, err = s.state.openLocked(keysFolder, hash)
	}
	switch {
	case errors.Is(err, flock.ErrLocked):
		k.leave()
		return nil
	case err != nil:
		s.log.Warn("a claim's key can't be kept on disk", "error", err)
	default:
		k.file = &keyFile{f, seal}
		k.keyRecord = readRecord(f, seal)
		k.Answered = false // the process that gave the payload is gone
	}
	return k
}

func (s *keySet) leave(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.underWay, hash)
}

// remove removes a key from held. The caller has locked mu.
func (s *keySet) remove(k *key) {
	k.expiry.Stop()
	delete(s.held, k.hash)
	s.size -= k.payloadSize()
}

// hold keeps a key until its time is over. If there are too many, it drops the oldest.
func (s *keySet) hold(k *key) {
	var gone []*key
	s.mu.Lock()
	if s.held == nil {
		s.held = map[string]*key{}
	}
	if other := s.held[k.hash]; other != nil {
		s.remove(other)
		gone = append(gone, other)
	}
	for len(s.held) > 0 && (len(s.held) >= maxHeld || s.size+k.payloadSize() > maxHeldBytes) {
		oldest := s.oldest()
		s.remove(oldest)
		gone = append(gone, oldest)
	}
	s.held[k.hash] = k
	s.size += k.payloadSize()
	k.expiry = time.AfterFunc(time.Until(k.Until), func() { s.expire(k) })
	s.mu.Unlock()
	for _, k := range gone {
		k.arrived()
	}
}

func (s *keySet) oldest() *key {
	var oldest *key
	for _, k := range s.held {
		if oldest == nil || k.Until.Before(oldest.Until) {
			oldest = k
		}
	}
	return oldest
}

func (s *keySet) expire(k *key) {
	s.mu.Lock()
	held := s.held[k.hash] == k
	if held {
		s.remove(k)
	}
	s.mu.Unlock()
	if held {
		k.drop()
	}
}

// settled notes whether an answer with a payload was written. If it was not, the next
// claim of the URL gets the key.
func (s *keySet) settled(k *key, written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.held[k.hash] != k: // another claim has it
	case written:
		k.written = time.Now()
	default:
		s.unanswered(k)
	}
}

// clientActive drops the keys whose answers a client got before a time. A client
// without a session can't be told from others.
func (s *keySet) clientActive(session string, at time.Time) {
	if session == "" {
		return
	}
	var arrived []*key
	s.mu.Lock()
	for _, k := range s.held {
		if k.Answered && k.session == session && !k.written.IsZero() && k.written.Before(at) {
			s.remove(k)
			arrived = append(arrived, k)
		}
	}
	s.mu.Unlock()
	for _, k := range arrived {
		k.arrived()
	}
}

// sessionEnded makes the keys of a session usable again, since its client may not have read
// the last answer. Until the grace is over, the next claim of the same caller gets the
// payload.
func (s *keySet) sessionEnded(session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.held {
		if k.session == session {
			s.unanswered(k)
		}
	}
}

// unanswered makes a held key usable for the next claim, in any process if it is in a
// file. The caller has locked mu.
func (s *keySet) unanswered(k *key) {
	if k.file == nil {
		k.Answered = false
		return
	}
	s.remove(k)
	_ = k.closeFile()
}

// close leaves all keys to other processes.
func (s *keySet) close() {
	s.spares.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.held {
		s.remove(k)
		_ = k.closeFile()
	}
}
