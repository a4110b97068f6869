package tools

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"kubbi-mcp/internal/flock"
	"kubbi-mcp/kubbi"
)

// claimKey is the key of one claim. Its owner calls exactly one of answered, lost,
// drop, unused and failed.
type claimKey struct {
	Key   string    `json:"key"`
	Until time.Time `json:"until"` // when the relay forgets it; zero: the key is new
	Given bool      `json:"given"` // the payload stands in an answer

	hash  string
	keys  *claimKeys
	file  *lockedFile // nil: the key is in memory alone
	size  int         // of what is in it, in bytes
	busy  bool        // another claim has the file, or is under way
	alone bool        // no other claim of this process is under way
	seal  cipher.AEAD

	begun   time.Time      // when the claim under way was: the relay's grace begins no earlier
	session string         // of the client that was answered
	written time.Time      // when its answer was; zero: it is not yet
	payload *kubbi.Claimed // where the relay knows no keys; nil: it does
	release func()         // ends the relay's grace
	expiry  *time.Timer    // while it waits
}

// again reports whether a claim was made under this key before, and may have
// counted.
func (k *claimKey) again() bool { return !k.Until.IsZero() }

// graceEnds is when the relay forgets the key, at the earliest. A claim that is
// repeated does not begin the grace anew.
func (k *claimKey) graceEnds(grace time.Duration) time.Time {
	end := k.begun.Add(grace)
	if before := k.Until.Add(graceMargin); k.again() && before.Before(end) {
		return before
	}
	return end
}

// renew makes it a new key.
func (k *claimKey) renew() (err error) {
	k.Until, k.Given, k.payload, k.release = time.Time{}, false, nil, nil
	k.Key = kubbi.NewIdempotencyKey()
	if k.file != nil {
		err = k.write(time.Now().Add(keysKept))
	}
	if err != nil {
		k.leave()
		return errors.Join(err, k.close())
	}
	return nil
}

// answered is called when the payload stands in an answer to a client, before that
// is written: the client's next call may come at once. See claimKeys.settled.
func (k *claimKey) answered(session string, until time.Time) {
	defer k.leave()
	k.Given, k.session, k.written = true, session, time.Time{}
	k.hold(until)
	if k.payload != nil || k.file != nil || !k.busy {
		k.keys.wait(k)
	}
}

// lost is called when the payload has not reached the client: the next claim of
// the same URL takes the key.
func (k *claimKey) lost(until time.Time) {
	defer k.leave()
	k.Given = false
	k.hold(until)
	if k.file != nil && k.payload == nil {
		_ = k.close()
		return
	}
	if k.payload != nil || !k.busy {
		k.keys.wait(k)
	}
}

// hold notes for how long the payload can be had.
func (k *claimKey) hold(until time.Time) {
	k.Until = until.Add(-graceMargin)
	if k.payload != nil {
		k.removeFile() // the relay does not know the key
	} else if k.file != nil {
		_ = k.write(k.Until) // otherwise it stands there with a later time
	}
}

// unused gives the key back as it was: no claim has been made.
func (k *claimKey) unused() {
	defer k.leave()
	switch {
	case !k.again():
		k.drop()
	case k.Given || k.payload != nil || k.file == nil && !k.busy:
		k.keys.wait(k)
	default:
		_ = k.close()
	}
}

// failed deals with the key after a claim that gave no payload.
func (k *claimKey) failed(err error) {
	e, ok := errors.AsType[*kubbi.Error](err)
	switch {
	case errors.Is(err, kubbi.ErrGone), errors.Is(err, kubbi.ErrExpired):
		k.drop()
	case ok && e.Uncertain && !k.again():
		k.lost(time.Now().Add(graceUnknown))
	default:
		k.unused()
	}
}

// arrived ends the relay's grace: the payload is safe.
func (k *claimKey) arrived() {
	k.end()
	k.drop()
}

// end ends the relay's grace.
func (k *claimKey) end() {
	if k.release != nil {
		k.release()
		k.release = nil
	}
}

// drop forgets the key.
func (k *claimKey) drop() {
	defer k.leave()
	k.payload = nil
	k.removeFile()
}

// removeFile removes the key's file.
func (k *claimKey) removeFile() {
	if k.file != nil {
		k.keys.spares.put(k.file)
		k.file = nil
	}
}

// open opens the key's file and reads what an earlier process has left in it. A
// claim of the same URL that is under way elsewhere keeps the file to itself. It
// may be one that was just cancelled, so this one waits for it a little, and then
// goes on with a key of its own.
func (k *claimKey) open(ctx context.Context, token string) error {
	seal, err := keySeal(token, k.keys.caller)
	if err != nil {
		return err
	}
	k.seal = seal
	const pause = 20 * time.Millisecond
	for until := time.Now().Add(k.keys.patience); ; {
		f, err := k.keys.spares.take(k.keys.state, k.hash)
		if f == nil && err == nil {
			f, err = k.keys.state.openLocked(keysName, k.hash)
		}
		if err == nil {
			k.file = f
			return k.read(f.File)
		}
		if !errors.Is(err, flock.ErrLocked) {
			return err
		}
		if k.givenElsewhere() || !time.Now().Before(until) {
			k.busy = true
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// givenElsewhere reports whether the claim that has the file is answered: there
// is nothing to wait for.
func (k *claimKey) givenElsewhere() bool {
	f, err := k.keys.state.openKey(k.hash)
	if err != nil {
		return false
	}
	defer f.Close()
	other := claimKey{seal: k.seal}
	return other.read(f) == nil && other.Given
}

// keySeal is what a key's file is sealed with.
func keySeal(token, caller string) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, []byte(token), []byte(caller), "kubbi-mcp held key v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (k *claimKey) read(f *os.File) error {
	const most = 1 << 10
	sealed, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return errors.Join(err, k.close())
	}
	k.size = len(sealed)
	// What can't be read was left by a process that died while it wrote.
	if plain, err := k.seal.Open(nil, nil, sealed, nil); err == nil {
		_ = json.Unmarshal(plain, k)
	}
	return nil
}

// keyRecord is how many bytes a key's record has before it is sealed.
const keyRecord = 192

func (k *claimKey) write(until time.Time) error {
	plain, err := json.Marshal(claimKey{Key: k.Key, Until: until, Given: k.Given})
	if err != nil {
		return err
	}
	// A record over the one before it, of the same size: that is one step, and frees
	// nothing for the file system to write down.
	plain = append(plain, bytes.Repeat([]byte{' '}, max(0, keyRecord-len(plain)))...)
	sealed := k.seal.Seal(nil, nil, plain, nil)
	if _, err = k.file.WriteAt(sealed, 0); err == nil && k.size > len(sealed) {
		err = k.file.Truncate(int64(len(sealed)))
	}
	k.size = len(sealed)
	return err
}

func (k *claimKey) close() error {
	if k.file == nil {
		return nil
	}
	f := k.file
	k.file = nil
	return f.Close()
}

func (k *claimKey) payloadSize() int {
	if k.payload == nil {
		return 0
	}
	n := len(k.payload.Content)
	for _, f := range k.payload.Files {
		n += len(f.Content)
	}
	return n
}
