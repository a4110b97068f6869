// Package keep keeps secrets until a time, for the processes of one login session.
//
// A secret is in a file, 0600, sealed under a random key that only the login session holds:
// the kernel's session keyring on Linux, a credential of the logon session on Windows. Whoever
// has the files alone, or another session of the same user, can't open them. At the logout the
// key is gone. Where no store of keys ends with the session, nothing is kept: see Check.
package keep

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kubbi-mcp/internal/private"
)

const (
	suffix  = ".kept"
	version = 1
	keySize = 32
)

// MaxBytes is the size of the largest secret.
const MaxBytes = 512 << 10

// ErrNone says that this session keeps no secret of a name.
var ErrNone = errors.New("not kept in this login session")

// Folder is the folder with the files. It is made at the first use.
type Folder string

// content is the JSON in a file.
type content struct {
	Version int       `json:"version"`
	Until   time.Time `json:"until"`
	Sealed  []byte    `json:"sealed"`
}

// Check says why this session can't keep secrets, nil if it can.
func Check() error { return checkSession() }

// Put keeps a secret of at most MaxBytes until a time. name may be a secret itself. A secret of
// the same name is replaced.
func (f Folder) Put(name string, secret []byte, until time.Time) error {
	if len(secret) > MaxBytes {
		return fmt.Errorf("it has %d bytes, and at most %d can be kept", len(secret), MaxBytes)
	}
	if err := private.MakeDir(string(f)); err != nil {
		return fmt.Errorf("keep for this session: %w", err)
	}
	f.Sweep()
	id := idOf(name)
	if err := f.forget(id); err != nil {
		return fmt.Errorf("keep for this session: %w", err)
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	c := content{Version: version, Until: until.UTC().Truncate(time.Second)}
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	c.Sealed = aead.Seal(nil, nil, secret, c.binding(id))
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := putKey(id, key, c.Until); err != nil {
		return fmt.Errorf("keep for this session: %w", err)
	}
	if _, err := private.Create(f.path(id), text); err != nil {
		return errors.Join(fmt.Errorf("keep for this session: %w", err), deleteKey(id))
	}
	return nil
}

// Get gives a secret. The error is ErrNone if there is none, if its time is over, or if another
// session keeps it.
func (f Folder) Get(name string) ([]byte, error) {
	id := idOf(name)
	c, err := f.read(id)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !time.Now().Before(c.Until) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	key, err := getKey(id)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, nil, c.Sealed, c.binding(id))
	if err != nil {
		return nil, fmt.Errorf("%s does not open: it was changed, or another session has kept it anew", f.path(id))
	}
	return secret, nil
}

// Forget forgets what this session keeps under a name.
func (f Folder) Forget(name string) error { return f.forget(idOf(name)) }

// ForgetAll forgets all that this session keeps, and gives its number.
func (f Folder) ForgetAll() (n int, err error) {
	var faults []error
	for _, id := range f.ids() {
		if _, err := getKey(id); err != nil {
			continue // another session's, or its time is over
		}
		if err := f.forget(id); err != nil {
			faults = append(faults, err)
			continue
		}
		n++
	}
	f.Sweep()
	return n, errors.Join(faults...)
}

// Sweep removes the files whose time is over. The next call tries again what can't be removed.
func (f Folder) Sweep() {
	for _, id := range f.ids() {
		if c, err := f.read(id); err == nil && !time.Now().Before(c.Until) {
			_ = f.forget(id)
		}
	}
}

func (f Folder) forget(id string) error {
	err := private.Remove(f.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(deleteKey(id), err)
}

func (f Folder) read(id string) (c content, err error) {
	text, err := private.Read(f.path(id))
	if err != nil {
		return c, err
	}
	if json.Unmarshal(text, &c) != nil || c.Version != version {
		return c, fmt.Errorf("%s is no file of kubbi-mcp, or one of a later version", f.path(id))
	}
	return c, nil
}

func (f Folder) path(id string) string { return filepath.Join(string(f), id+suffix) }

func (f Folder) ids() (ids []string) {
	all, _ := os.ReadDir(string(f)) // a folder that can't be read has none
	for _, e := range all {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && e.Type().IsRegular() {
			ids = append(ids, id)
		}
	}
	return ids
}

func (c content) binding(id string) []byte {
	return []byte("kubbi-mcp/keep/1/" + id + "/" + c.Until.Format(time.RFC3339))
}

// idOf names file and key without revealing a name.
func idOf(name string) string {
	sum := sha256.Sum256([]byte("kubbi-mcp/keep/1/id/" + name))
	return hex.EncodeToString(sum[:])
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
