package atrest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Keyring holds a relay's master keys, oldest first. It never changes, so many
// goroutines may use it; With and Without return a new one.
//
// A key may start to seal at a later time. So every relay that shares the keyring has
// the key before the first kubbi needs it.
//
// Formatting, logging or marshalling a Keyring shows the ids of its keys and
// nothing else: only Encode shows the secrets.
type Keyring struct{ keys []masterKey }

type masterKey struct {
	KeyInfo
	secret []byte
	macs   *macs
}

func newMasterKey(secret []byte, created, from time.Time) masterKey {
	return masterKey{KeyInfo{keyID(secret), created.UTC(), from.UTC()}, secret, newMACs(secret)}
}

// keyringFile is the JSON of Encode and ParseKeyring. A program that does not
// know use_from ignores it and seals with the last key at once. That loses
// nothing, so the version stayed the same.
type keyringFile struct {
	Version int       `json:"version"`
	Keys    []keyFile `json:"keys"`
}

type keyFile struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	UseFrom   time.Time `json:"use_from,omitzero"`
	Secret    []byte    `json:"secret"`
}

const keyringVersion = 1

// NewKeyring makes a keyring of one new key from random.
func NewKeyring(random io.Reader, now time.Time) (*Keyring, error) {
	return (&Keyring{}).With(random, now, time.Time{})
}

// With returns a keyring with one more key, the newest, from random. That key seals
// from the time from on, in whole seconds; zero means at once.
func (r *Keyring) With(random io.Reader, now, from time.Time) (*Keyring, error) {
	secret := make([]byte, secretSize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, fmt.Errorf("make master key: %w", err)
	}
	k := newMasterKey(secret, now.Truncate(time.Second), from.Truncate(time.Second))
	if r.Has(k.ID) {
		return nil, errors.New("make master key: the random source repeats itself")
	}
	return &Keyring{keys: append(slices.Clone(r.keys), k)}, nil
}

// Without returns a keyring without the key with that id. Removing the last key is an
// error. What was sealed under a removed key does not open any more.
func (r *Keyring) Without(id string) (*Keyring, error) {
	if !r.Has(id) {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKey, id)
	}
	if len(r.keys) == 1 {
		return nil, errors.New("a keyring must keep one master key")
	}
	return &Keyring{keys: slices.DeleteFunc(slices.Clone(r.keys), func(k masterKey) bool { return k.ID == id })}, nil
}

// ParseKeyring reads what Encode wrote. Its errors say what is wrong without
// quoting the input.
func ParseKeyring(b []byte) (*Keyring, error) {
	var f keyringFile
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&f); err != nil {
		return nil, errors.New("keyring is not valid JSON")
	}
	if d.More() {
		return nil, errors.New("keyring has data after its end")
	}
	if f.Version != keyringVersion {
		return nil, fmt.Errorf("keyring is of version %d; this program reads version %d", f.Version, keyringVersion)
	}
	if len(f.Keys) == 0 {
		return nil, errors.New("keyring has no keys")
	}
	r := &Keyring{}
	for i, k := range f.Keys {
		switch {
		case len(k.Secret) != secretSize:
			return nil, fmt.Errorf("keyring: keys[%d].secret is not %d bytes long", i, secretSize)
		case k.ID != keyID(k.Secret):
			return nil, fmt.Errorf("keyring: keys[%d].id does not belong to its secret", i)
		case r.Has(k.ID):
			return nil, fmt.Errorf("keyring: keys[%d] is there twice", i)
		}
		r.keys = append(r.keys, newMasterKey(k.Secret, k.CreatedAt, k.UseFrom))
	}
	return r, nil
}

// Encode returns the keyring as JSON with the secrets, for a file that only its owner
// can read.
func (r *Keyring) Encode() ([]byte, error) {
	f := keyringFile{Version: keyringVersion}
	for _, k := range r.keys {
		f.Keys = append(f.Keys, keyFile{ID: k.ID, CreatedAt: k.CreatedAt, UseFrom: k.UseFrom, Secret: k.secret})
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode keyring: %w", err)
	}
	return append(b, '\n'), nil
}

// Sealing returns the id of the key that seals at a time: the newest key whose time has
// come, or the oldest key if there is none. It returns "" for an empty keyring.
func (r *Keyring) Sealing(now time.Time) string {
	if r == nil || len(r.keys) == 0 {
		return ""
	}
	for _, k := range slices.Backward(r.keys) {
		if !k.UseFrom.After(now) {
			return k.ID
		}
	}
	return r.keys[0].ID
}

// KeyInfo is the public part of a master key.
type KeyInfo struct {
	ID        string
	CreatedAt time.Time
	UseFrom   time.Time // when it begins to seal; zero: when it was made
}

// Keys describes all keys, oldest first.
func (r *Keyring) Keys() []KeyInfo {
	infos := make([]KeyInfo, len(r.keys))
	for i, k := range r.keys {
		infos[i] = k.KeyInfo
	}
	return infos
}

// Has reports whether there is a key with that id.
func (r *Keyring) Has(id string) bool { return r.find(id) != nil }

// IDs are the ids of all keys, oldest first.
func (r *Keyring) IDs() []string {
	var ids []string
	for _, k := range r.keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func (r *Keyring) find(id string) *masterKey {
	for i := range r.keys {
		if r.keys[i].ID == id {
			return &r.keys[i]
		}
	}
	return nil
}

// String lists the ids of the keys. It and the methods below have a value receiver, so
// that a copied Keyring shows no secrets either.
func (r Keyring) String() string { return "keyring[" + strings.Join(r.IDs(), " ") + "]" }

// Format writes String for every verb: %+v and %#v would print the secrets.
func (r Keyring) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// MarshalText is String, so that no encoder shows a secret.
func (r Keyring) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// keyID names a secret without revealing it.
func keyID(secret []byte) string {
	h := sha256.Sum256(append([]byte(idLabel), secret...))
	return hex.EncodeToString(h[:8])
}
