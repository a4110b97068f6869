package claims

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

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
	underWay map[string]chan struct{} // by hash: claims under way; closed at their end
	held     map[string]*key          // by hash: keys of claims whose answer may not have been read
	size     int                      // bytes of the payloads in held
}

// Limits of what is held.
const (
	maxHeld      = 256      // keys, each with an open file
	maxHeldBytes = 16 << 20 // payloads of services that give them once
)

// take gives the key for a claim: the one that is held for its URL, or a new one.
func (s *keySet) take(ctx context.Context, claimURL string) (*key, error) {
	u, err := kubbi.ParseClaimURL(claimURL)
	if err != nil {
		return nil, err
	}
	hash := tokenHash(s.caller, u.Token())
	k, entered, err := s.enter(ctx, hash)
	if err != nil {
		return nil, err
	}
	if k != nil {
		k.begun = time.Now()
		return k, nil
	}
	k = &key{hash: hash, set: s, entered: entered, shared: !entered, begun: time.Now()}
	if entered && s.state != nil {
		if err := k.open(ctx, u.Token()); ctx.Err() != nil {
			k.leave()
			return nil, errors.Join(ctx.Err(), k.closeFile())
		} else if err != nil {
			s.log.Warn("a claim's key can't be kept on disk", "error", err)
		}
	}
	k.Answered = false // the process that gave the payload is gone, or has the file
	if time.Now().Before(k.Until) {
		return k, nil
	}
	return k, k.renew()
}

// enter begins a claim and takes the key that is held for its URL, nil if there is none.
// It waits for a claim of the same URL in this process. If that takes too long, entered
// is false.
func (s *keySet) enter(ctx context.Context, hash string) (k *key, entered bool, err error) {
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	for {
		k, over := s.tryEnter(hash)
		if over == nil {
			return k, true, nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-timer.C:
			return nil, false, nil
		}
	}
}

// tryEnter is enter without waiting. over is closed when the claim under way has ended.
func (s *keySet) tryEnter(hash string) (k *key, over <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over := s.underWay[hash]; over != nil {
		return nil, over
	}
	if s.underWay == nil {
		s.underWay = map[string]chan struct{}{}
	}
	s.underWay[hash] = make(chan struct{})
	if k = s.held[hash]; k != nil {
		s.remove(k)
		k.entered = true
	}
	return k, nil
}

func (s *keySet) leave(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.underWay[hash])
	delete(s.underWay, hash)
}

// remove takes a key out of those that are held. The caller has locked mu.
func (s *keySet) remove(k *key) {
	k.expiry.Stop()
	delete(s.held, k.hash)
	s.size -= k.payloadSize()
}

// hold keeps a key until its time is over. If there are too many, the oldest ones go.
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

// sessionEnded makes the keys of a session usable again: its last answer may still stand
// in a pipe. Until the grace is over, the next claim of the same caller gets the payload.
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
