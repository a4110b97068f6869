package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"kubbi-mcp/kubbi"
)

// claimKeys are the idempotency keys of a caller's claims. A key stays until the
// payload is known to be where it is safe: on the disk, or with a client that has
// gone on to something else. Until then a claim under the key gets the payload
// again, and counts once.
//
// With a state each key also stands in a file, so that a claim whose process has
// died can be finished by another one. The file is locked while this process
// holds the key, and sealed under the claim token, which is not in the folder:
// whoever reads the folder learns nothing and can claim nothing.
type claimKeys struct {
	state    *State // nil: keys are in memory alone
	caller   string // whose keys they are
	log      *slog.Logger
	patience time.Duration // how long a claim waits for another one of the same URL

	spares spares

	mu       sync.Mutex
	underWay map[string]chan struct{} // by hash: claims under way; closed when one is over
	waiting  map[string]*claimKey     // by hash: claims that are answered, or whose answer was lost
	size     int                      // bytes of the payloads in waiting
}

// Bounds of what waits.
const (
	maxWaiting      = 256      // keys, each with an open file
	maxWaitingBytes = 16 << 20 // payloads of relays that know no keys
	graceUnknown    = time.Minute
	graceMargin     = time.Second // a key is not used so shortly before its end
)

// take gives the key for a claim: the one that waits for its URL, or a new one.
func (h *claimKeys) take(ctx context.Context, claimURL string) (*claimKey, error) {
	u, err := kubbi.ParseClaimURL(claimURL)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte("kubbi-mcp claim\x00" + h.caller + "\x00" + u.Token()))
	hash := hex.EncodeToString(sum[:])
	k, alone, err := h.enter(ctx, hash)
	if err != nil {
		return nil, err
	}
	if k != nil {
		k.begun = time.Now()
		return k, nil
	}
	k = &claimKey{hash: hash, keys: h, alone: alone, busy: !alone, begun: time.Now()}
	if alone && h.state != nil {
		if err := k.open(ctx, u.Token()); ctx.Err() != nil {
			k.leave()
			return nil, errors.Join(ctx.Err(), k.close())
		} else if err != nil {
			h.log.Warn("a claim's key can't be kept on disk", "error", err)
		}
	}
	k.Given = false // whoever was given the payload is gone, or has the file
	if time.Now().Before(k.Until) {
		return k, nil
	}
	return k, k.renew()
}

// enter begins a claim. It waits for one of the same URL that is under way in this
// process, but not for ever; alone is false then. k is the key that waits for it,
// nil if there is none.
func (h *claimKeys) enter(ctx context.Context, hash string) (k *claimKey, alone bool, err error) {
	timer := time.NewTimer(h.patience)
	defer timer.Stop()
	for {
		k, over := h.tryEnter(hash)
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

// tryEnter begins a claim and takes out the key that waits for it, or gives what is
// closed when the claim that is under way is over.
func (h *claimKeys) tryEnter(hash string) (k *claimKey, over <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if over := h.underWay[hash]; over != nil {
		return nil, over
	}
	if h.underWay == nil {
		h.underWay = map[string]chan struct{}{}
	}
	h.underWay[hash] = make(chan struct{})
	if k = h.waiting[hash]; k != nil {
		h.forget(k)
		k.alone = true
	}
	return k, nil
}

// leave ends a claim.
func (k *claimKey) leave() {
	if !k.alone {
		return
	}
	k.alone = false
	k.keys.mu.Lock()
	defer k.keys.mu.Unlock()
	close(k.keys.underWay[k.hash])
	delete(k.keys.underWay, k.hash)
}

// forget takes a key out of those that wait. The caller holds mu.
func (h *claimKeys) forget(k *claimKey) {
	k.expiry.Stop()
	delete(h.waiting, k.hash)
	h.size -= k.payloadSize()
}

// wait puts a key among those that wait, until its time is up. Beyond the bounds
// the oldest ones go first.
func (h *claimKeys) wait(k *claimKey) {
	var gone []*claimKey
	h.mu.Lock()
	if h.waiting == nil {
		h.waiting = map[string]*claimKey{}
	}
	if other := h.waiting[k.hash]; other != nil {
		h.forget(other)
		gone = append(gone, other)
	}
	for len(h.waiting) > 0 && (len(h.waiting) >= maxWaiting || h.size+k.payloadSize() > maxWaitingBytes) {
		oldest := h.oldest()
		h.forget(oldest)
		gone = append(gone, oldest)
	}
	h.waiting[k.hash] = k
	h.size += k.payloadSize()
	k.expiry = time.AfterFunc(time.Until(k.Until), func() { h.expire(k) })
	h.mu.Unlock()
	for _, k := range gone {
		k.arrived()
	}
}

func (h *claimKeys) oldest() *claimKey {
	var oldest *claimKey
	for _, k := range h.waiting {
		if oldest == nil || k.Until.Before(oldest.Until) {
			oldest = k
		}
	}
	return oldest
}

func (h *claimKeys) expire(k *claimKey) {
	h.mu.Lock()
	ours := h.waiting[k.hash] == k
	if ours {
		h.forget(k)
	}
	h.mu.Unlock()
	if ours {
		k.drop()
	}
}

// settled notes whether the answer was written in which a key's payload stands. If
// not, the next claim of its URL takes the key.
func (h *claimKeys) settled(k *claimKey, written bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.waiting[k.hash] != k: // another claim has taken it
	case written:
		k.written = time.Now()
	case k.file == nil:
		k.Given = false
	default:
		h.forget(k)
		_ = k.close()
	}
}

// goneOn ends the grace of what a client was answered before at: its call shows
// that it has gone on. A client without a session can't be told from others.
func (h *claimKeys) goneOn(session string, at time.Time) {
	if session == "" {
		return
	}
	var arrived []*claimKey
	h.mu.Lock()
	for _, k := range h.waiting {
		if k.Given && k.session == session && !k.written.IsZero() && k.written.Before(at) {
			h.forget(k)
			arrived = append(arrived, k)
		}
	}
	h.mu.Unlock()
	for _, k := range arrived {
		k.arrived()
	}
}

// sessionEnded lets go of the keys of a client that has ended its session: its
// last answer may still stand in a pipe. Until the grace is over, the next claim
// of the same caller gets the payload.
func (h *claimKeys) sessionEnded(session string) {
	h.letGo(func(k *claimKey) bool { return k.session == session })
}

// close lets go of all keys.
func (h *claimKeys) close() {
	h.letGo(func(*claimKey) bool { return true })
	h.spares.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.waiting { // in memory alone
		h.forget(k)
	}
}

func (h *claimKeys) letGo(match func(*claimKey) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.waiting {
		switch {
		case !match(k):
		case k.file == nil:
			k.Given = false
		default:
			h.forget(k)
			_ = k.close()
		}
	}
}
