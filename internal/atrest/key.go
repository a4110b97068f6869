package atrest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync"
)

// macs is a pool of HMACs under one master key.
type macs struct{ pool sync.Pool }

func newMACs(master []byte) *macs {
	return &macs{sync.Pool{New: func() any { return hmac.New(sha256.New, master) }}}
}

// expand is HKDF-Expand with an output of one block, which is enough for every key here.
func (m *macs) expand(info ...[]byte) (key [sha256.Size]byte) {
	mac, _ := m.pool.Get().(hash.Hash)
	defer m.pool.Put(mac)
	mac.Reset()
	for _, b := range info {
		mac.Write(b)
	}
	mac.Write([]byte{1})
	mac.Sum(key[:0])
	return key
}

// Key derives a key of one kubbi from the master key with that id and the kubbi's secret.
// The comments of the purposes say what context is, and which purpose has no secret. The
// error for an unknown id is ErrUnknownKey.
func (r *Keyring) Key(id string, secret []byte, p Purpose, context []byte) (*Key, error) {
	m := r.find(id)
	if m == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKey, id)
	}
	info := label + string(p)
	if p != Payload {
		return newKey(m.macs.expand([]byte(info+"/"), secret, context))
	}
	ikm := m.macs.expand([]byte(info+"/"), secret)
	key, err := hkdf.Key(sha256.New, ikm[:], context, info, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return newKey([sha256.Size]byte(key))
}

func newKey(key [sha256.Size]byte) (*Key, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return &Key{aead}, nil
}

// Key seals and opens for one purpose of a kubbi. Many goroutines may use it.
type Key struct{ aead cipher.AEAD }

// Format hides the key from every verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, "key") }

func (k *Key) stream(b Binding) *stream {
	return &stream{aead: k.aead, data: b.data(), total: b.chunks()}
}
