package claims

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

// keyFile holds a keyRecord.
type keyFile struct {
	*lockedFile
	seal cipher.AEAD
}

// sealOf makes the cipher of a key's file.
func sealOf(token, caller string) (cipher.AEAD, error) {
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

// recordSize is the size of a record, in bytes, before it is encrypted. All records have the
// same size, so that one write replaces another.
const recordSize = 192

func (f *keyFile) write(r keyRecord) error {
	plain, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(plain) > recordSize {
		return errors.New("a claim's key is too long")
	}
	plain = append(plain, bytes.Repeat([]byte{' '}, recordSize-len(plain))...)
	_, err = f.WriteAt(f.seal.Seal(nil, nil, plain, nil), 0)
	return err
}

// readRecord reads a record. It gives none if the file can't be read: a process may have
// died while it wrote.
func readRecord(f io.ReaderAt, seal cipher.AEAD) (r keyRecord) {
	sealed := make([]byte, recordSize+seal.Overhead())
	if n, _ := f.ReadAt(sealed, 0); n < len(sealed) {
		return r
	}
	if plain, err := seal.Open(nil, nil, sealed, nil); err == nil {
		_ = json.Unmarshal(plain, &r)
	}
	return r
}

// keyRecord reads the record of a key that another claim uses.
func (s *State) keyRecord(hash string, seal cipher.AEAD) keyRecord {
	if s == nil {
		return keyRecord{}
	}
	f, err := os.Open(s.path(keysFolder, hash))
	if err != nil {
		return keyRecord{}
	}
	defer f.Close()
	return readRecord(f, seal)
}

// spares are files of dropped keys, emptied and still locked. The next claim gives one of
// them its name. Making a file instead took 0.3 to 0.9 ms on ext4 where many had been
// removed a moment ago, half of what a claim cost in all. Spares are removed when nothing
// was claimed for some seconds. A process that claims once leaves none.
type spares struct {
	mu    sync.Mutex
	files []*lockedFile
	begun bool // a file was dropped before
	ended bool
	idle  *time.Timer // removes them
}

const (
	maxSpares = 4 // as many claims as one agent makes at once
	spareFor  = 3 * time.Second
)

// take gives a spare a path. It gives nil if there is none, or if the path is in use.
func (s *spares) take(path string) *lockedFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.files) == 0 {
		return nil
	}
	last := len(s.files) - 1
	f := s.files[last]
	err := os.Link(f.path, path) // unlike a rename, it replaces nothing
	if os.IsExist(err) {
		return nil
	}
	s.files = s.files[:last]
	if err != nil { // it was swept, or the file system has no links
		f.remove()
		return nil
	}
	_ = os.Remove(f.path)
	f.path = path
	return f
}

// put takes the file of a key that is dropped.
func (s *spares) put(f *lockedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(filepath.Dir(f.path), "spare-"+uuid.NewString())
	if !s.begun || s.ended || len(s.files) == maxSpares || f.Truncate(0) != nil || os.Rename(f.path, path) != nil {
		s.begun = true
		f.remove()
		return
	}
	f.path = path
	s.files = append(s.files, f)
	if s.idle == nil {
		s.idle = time.AfterFunc(spareFor, s.remove)
	} else {
		s.idle.Reset(spareFor)
	}
}

// close removes them all, and keeps none from now on.
func (s *spares) close() {
	s.mu.Lock()
	s.ended = true
	if s.idle != nil {
		s.idle.Stop()
	}
	s.mu.Unlock()
	s.remove()
}

func (s *spares) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		f.remove()
	}
	s.files = nil
}
