package tools

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"kubbi-mcp/kubbi"
)

// heldKeys are the keys of claims whose payload is not yet where it is safe: in
// the answer that has reached the client, or on the disk. The next claim of the
// same URL takes the key, and so the payload that the relay still keeps for it;
// it counts once.
//
// With a state they are in files, so that a claim whose process has died can be
// finished by the next one. Each is sealed under its claim token, which is not in
// the folder: who reads that learns nothing, and can claim nothing.
type heldKeys struct {
	state    *State // nil: in memory
	caller   string // whose they are
	log      *slog.Logger
	patience time.Duration // with a claim of the same URL that is under way

	mu     sync.Mutex
	byHash map[string]heldKey
}

// heldKey is a claim's key.
type heldKey struct {
	Key   string    `json:"key"`
	Until time.Time `json:"until"` // when the relay has forgotten it; zero: it is new

	hash string
	keys *heldKeys
	file *os.File // locked; nil: it is in memory
	busy bool     // the file is another claim's
	seal cipher.AEAD
}

// Bounds of what is held.
const (
	maxHeld      = 1000        // in memory
	graceUnknown = time.Minute // where the relay could not say how long its grace is
)

// take gives the key for a claim: one that is held for its URL, or a new one.
// Whoever takes it calls hold or drop.
func (h *heldKeys) take(ctx context.Context, claimURL string) (*heldKey, error) {
	u, err := kubbi.ParseClaimURL(claimURL)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte("kubbi-mcp claim\x00" + h.caller + "\x00" + u.Token()))
	k := &heldKey{hash: hex.EncodeToString(sum[:]), keys: h}
	if h.state == nil {
		k.fromMemory()
	} else if err := k.fromFile(ctx, u.Token()); ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), k.close())
	} else if err != nil {
		h.log.Warn("a claim under way can't be kept on disk", "error", err)
		k.file = nil
		k.fromMemory()
	}
	if time.Now().Before(k.Until) {
		return k, nil
	}
	k.Until = time.Time{}
	if k.Key, err = kubbi.NewKey(); err != nil {
		return nil, errors.Join(err, k.close())
	}
	if k.file != nil {
		if err := k.write(time.Now().Add(keysKept)); err != nil {
			return nil, errors.Join(err, k.close())
		}
	}
	return k, nil
}

// again reports whether the claim was made before under this key, and may have
// counted.
func (k *heldKey) again() bool { return !k.Until.IsZero() }

func (k *heldKey) fromMemory() {
	k.keys.mu.Lock()
	defer k.keys.mu.Unlock()
	held := k.keys.byHash[k.hash]
	delete(k.keys.byHash, k.hash)
	k.Key, k.Until = held.Key, held.Until
}

// fromFile reads what is held. A claim of the same URL that is under way at the
// same time keeps the file to itself. It may be one that was just cancelled, so
// this one waits for it a little, and only then gets a key of its own.
func (k *heldKey) fromFile(ctx context.Context, token string) error {
	f, err := k.keys.state.openLocked(k.hash)
	const pause = 20 * time.Millisecond
	for until := time.Now().Add(k.keys.patience); errors.Is(err, errLocked) && time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			f, err = k.keys.state.openLocked(k.hash)
		}
	}
	if errors.Is(err, errLocked) {
		k.busy = true
		return nil
	}
	if err != nil {
		return err
	}
	k.file = f
	secret, err := hkdf.Key(sha256.New, []byte(token), []byte(k.keys.caller), "kubbi-mcp held key v1", 32)
	if err == nil {
		var block cipher.Block
		if block, err = aes.NewCipher(secret); err == nil {
			k.seal, err = cipher.NewGCMWithRandomNonce(block)
		}
	}
	if err != nil {
		return errors.Join(err, k.close())
	}
	const most = 1 << 10
	sealed, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return errors.Join(err, k.close())
	}
	// What can't be read is that of a process that died while it wrote.
	if plain, err := k.seal.Open(nil, nil, sealed, nil); err == nil {
		_ = json.Unmarshal(plain, k)
	}
	return nil
}

func (k *heldKey) write(until time.Time) error {
	plain, err := json.Marshal(heldKey{Key: k.Key, Until: until})
	if err != nil {
		return err
	}
	if err := k.file.Truncate(0); err != nil {
		return err
	}
	_, err = k.file.WriteAt(k.seal.Seal(nil, nil, plain, nil), 0)
	return err
}

func (k *heldKey) close() error {
	if k.file == nil {
		return nil
	}
	return k.file.Close()
}

// hold keeps the key for the next claim of its URL, while the relay knows it.
func (k *heldKey) hold(until time.Time) {
	if k.file != nil {
		_ = k.write(until) // else it stands there with a later time
		_ = k.close()
		return
	}
	if k.busy {
		return
	}
	now := time.Now()
	h := k.keys
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byHash == nil {
		h.byHash = map[string]heldKey{}
	}
	if len(h.byHash) >= maxHeld {
		for hash, held := range h.byHash {
			if now.After(held.Until) {
				delete(h.byHash, hash)
			}
		}
	}
	if len(h.byHash) < maxHeld {
		h.byHash[k.hash] = heldKey{Key: k.Key, Until: until}
	}
}

// drop forgets the key: nothing has counted, or the payload is safe.
func (k *heldKey) drop() {
	if k.file == nil {
		return
	}
	_ = k.file.Truncate(0)
	_ = os.Remove(k.file.Name())
	_ = k.close()
}

// unused gives the key back as it was: the claim has not been made.
func (k *heldKey) unused() {
	if k.again() {
		k.hold(k.Until)
	} else {
		k.drop()
	}
}

// failed deals with the key after a claim that gave no payload.
func (k *heldKey) failed(err error) {
	e, ok := errors.AsType[*kubbi.Error](err)
	switch {
	case errors.Is(err, kubbi.ErrGone), errors.Is(err, kubbi.ErrExpired):
		k.drop()
	case ok && e.Uncertain && !k.again():
		k.hold(time.Now().Add(graceUnknown))
	default:
		k.unused()
	}
}
