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

// macs are HMACs under one master key, made once and used again: each root needs one.
type macs struct{ pool sync.Pool }

func newMACs(master []byte) *macs {
	return &macs{sync.Pool{New: func() any { return hmac.New(sha256.New, master) }}}
}

// root is the first block of HKDF-Expand, which is all that is needed of it.
func (m *macs) root(secret []byte) (root [sha256.Size]byte) {
	mac, _ := m.pool.Get().(hash.Hash)
	defer m.pool.Put(mac)
	mac.Reset()
	io.WriteString(mac, label+"kubbi/")
	mac.Write(secret)
	mac.Write([]byte{1})
	mac.Sum(root[:0])
	return root
}

// Root is what the keys of one kubbi come from. Many goroutines may use it.
type Root struct{ root [sha256.Size]byte }

// Format hides the root from every verb.
func (r Root) Format(f fmt.State, _ rune) { io.WriteString(f, "root") }

// Root derives the root of the kubbi with that secret from the master key of that
// id; a nil secret gives one that no wiping ends. An id that is not there is
// ErrUnknownKey.
func (r *Keyring) Root(id string, secret []byte) (*Root, error) {
	m := r.find(id)
	if m == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKey, id)
	}
	return &Root{m.macs.root(secret)}, nil
}

// Key derives a key. Purpose says what its salt is.
func (r *Root) Key(p Purpose, salt []byte) (*Key, error) {
	key, err := hkdf.Key(sha256.New, r.root[:], salt, label+string(p), 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return &Key{aead}, nil
}

// Key seals and opens what one purpose of a kubbi has. Many goroutines may use it.
type Key struct{ aead cipher.AEAD }

// Format hides the key from every verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, "key") }

func (k *Key) stream(b Binding) *stream {
	return &stream{aead: k.aead, data: b.data(), total: b.chunks()}
}
