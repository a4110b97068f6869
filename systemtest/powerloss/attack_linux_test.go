package powerloss_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// files is a copy of a data directory: what each file holds, by its path.
type files map[string][]byte

// The attacker has copies of all files, the keyring, claim URLs and idempotency
// keys. What it does with them follows the package comment of internal/atrest, byte
// for byte, but uses none of the program's code. It does not check tags: it decrypts
// everything that may be a ciphertext, and checks whether the result is the payload.
type attacker struct {
	masters [][]byte
	before  files // of the last try

	mu      sync.Mutex
	secrets map[*record]*exposed
}

// exposed is what the attacker found out about a kubbi while it could be opened.
type exposed struct {
	secret [secretSize]byte
	header [prefixSize]byte
	sealed [2 * aes.BlockSize]byte // how the ciphertext begins
	keys   [][]byte                // all that was derived from the secret
}

// As internal/atrest says.
const (
	secretSize = 32
	format     = 2
	prefixSize = 7
	chunkSize  = 64 << 10
	label      = "kubbi-mcp/atrest/2/"
)

// newAttacker reads the keyring of a data directory.
func newAttacker(f files) (*attacker, error) {
	var ring struct {
		Keys []struct {
			Secret []byte `json:"secret"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(f["keyring.json"], &ring); err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	a := &attacker{secrets: map[*record]*exposed{}}
	for _, k := range ring.Keys {
		a.masters = append(a.masters, k.Secret)
	}
	if len(a.masters) == 0 {
		return nil, errors.New("keyring: no keys")
	}
	return a, nil
}

// exposed gives what is known of a kubbi; nil: nothing.
func (a *attacker) exposed(r *record) *exposed {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.secrets[r]
}

// derive gives the key of a payload, and all keys on the way to it and beside it.
func derive(master, secret []byte, r *record) (payload []byte, all [][]byte) {
	expand := func(purpose, context string) []byte {
		key, _ := hkdf.Expand(sha256.New, master, label+purpose+"/"+string(secret)+context, 32) // its only error is a wrong length
		return key
	}
	raw, _ := base64.RawURLEncoding.DecodeString(r.token) // the relay made it
	root := expand("payload", "")
	payload, _ = hkdf.Key(sha256.New, root, raw, label+"payload", 32) // as above
	all = append(all, root, payload, expand("record", ""))
	if r.createKey != "" {
		all = append(all, expand("answer", r.createKey))
	}
	return payload, all
}

// trial decrypts the beginnings of what may be a kubbi's ciphertext.
type trial struct {
	content [aes.BlockSize * 2]byte
	last    byte // 1: the payload is one chunk
	block   [aes.BlockSize]byte
	stream  [aes.BlockSize]byte
}

func newTrial(r *record) *trial {
	t := &trial{}
	copy(t.content[:], r.content())
	if r.size <= chunkSize {
		t.last = 1
	}
	return t
}

// opens says whether a ciphertext that begins so gives the content under a key.
func (t *trial) opens(key cipher.Block, prefix, sealed []byte) bool {
	copy(t.block[:], prefix)
	t.block[11] = t.last
	for i := 0; i < len(t.content); i += aes.BlockSize {
		t.block[15] = byte(2 + i/aes.BlockSize)
		key.Encrypt(t.stream[:], t.block[:])
		for j, v := range t.stream {
			if v^sealed[i+j] != t.content[i+j] {
				return false
			}
		}
	}
	return true
}

// pageBytes is the unit in which two copies are compared.
const pageBytes = 4096

// changed gives the pages of a copy that are not in the one before, at the same
// place of the same file.
func (a *attacker) changed(f files, visit func(name string, at int, page []byte)) {
	for name, b := range f {
		old := a.before[name]
		for at := 0; at < len(b); at += pageBytes {
			end := min(at+pageBytes, len(b))
			if end <= len(old) && bytes.Equal(b[at:end], old[at:end]) {
				continue
			}
			visit(name, at, b[at:end])
		}
	}
}

// try is for one goroutine. It opens what came since the copy before: every new secret of the slots with
// everything that may be a new ciphertext. It gives the kubbis that open.
func (a *attacker) try(f files, young []*record) []*record {
	type place struct {
		file []byte
		at   int
	}
	var places []place
	var secrets []candidate
	a.changed(f, func(name string, at int, page []byte) {
		b := f[name]
		if isSlots(name) {
			secrets = append(secrets, candidates(a.before[name], b, at, at+len(page))...)
			return
		}
		for i, v := range page {
			if v == format && at+i+1+prefixSize+2*aes.BlockSize <= len(b) {
				places = append(places, place{b, at + i + 1})
			}
		}
	})
	a.before = f
	var opened []*record
	for _, r := range young {
		trial := newTrial(r)
	search:
		for _, master := range a.masters {
			for _, secret := range likely(secrets, r) {
				payload, all := derive(master, secret, r)
				key, _ := aes.NewCipher(payload) // 32 bytes are no error
				for _, p := range places {
					prefix, sealed := p.file[p.at:p.at+prefixSize], p.file[p.at+prefixSize:p.at+prefixSize+2*aes.BlockSize]
					if trial.opens(key, prefix, sealed) {
						e := &exposed{keys: all}
						copy(e.secret[:], secret)
						copy(e.header[:], prefix)
						copy(e.sealed[:], sealed)
						a.mu.Lock()
						a.secrets[r] = e
						a.mu.Unlock()
						opened = append(opened, r)
						break search
					}
				}
			}
		}
	}
	return opened
}

// isSlots reports whether a file is a file of slots.
func isSlots(name string) bool { return strings.HasSuffix(name, "slots") }

// candidate is what may be a secret, and the 8 bytes before it.
type candidate struct{ before, secret []byte }

// candidates gives what may be secrets in a part of a file of slots, at any
// multiple of 8 bytes, but not what stood there before or is zeros.
func candidates(old, b []byte, from, to int) (found []candidate) {
	for at := max(8, from-secretSize+8); at < to && at+secretSize <= len(b); at += 8 {
		s := b[at : at+secretSize]
		if at+secretSize <= len(old) && bytes.Equal(old[at:at+secretSize], s) || bytes.Count(s, []byte{0}) > 8 {
			continue
		}
		found = append(found, candidate{b[at-8 : at], s})
	}
	return found
}

// likely gives the secrets that may be a kubbi's: where a number before the
// secret says whose it is, that one, else all.
func likely(all []candidate, r *record) (secrets [][]byte) {
	raw, _ := base64.RawURLEncoding.DecodeString(r.token)
	var others [][]byte
	for _, c := range all {
		if bytes.Equal(c.before, raw[:8]) {
			secrets = append(secrets, c.secret)
		} else {
			others = append(others, c.secret)
		}
	}
	if len(secrets) > 0 {
		return secrets
	}
	return others
}

// finding is something of a kubbi's that stands in a file.
type finding struct {
	kubbi *record // nil: any
	what  string
	file  string
}

// What a finding can be. The first two should never be there, the others not
// once the kubbi has ended.
const (
	payloadInTheOpen  = "payload in the open"
	metadataInTheOpen = "metadata in the open"
	itsSecret         = "secret"
	itsKey            = "key made from the secret"
)

// describe says what was found in a copy that was begun at an instant.
func (f finding) describe(at time.Time, grace time.Duration) string {
	s := fmt.Sprintf("%s in %s", f.what, f.file)
	if f.kubbi == nil {
		return s
	}
	k := f.kubbi.knownAt(at, grace)
	how := "which expired"
	switch {
	case k.removed:
		how = "which was deleted"
	case k.burned():
		how = fmt.Sprintf("which was burned %s before", at.Sub(k.last).Round(time.Millisecond))
	}
	return fmt.Sprintf("%s, of a kubbi of %d bytes %s, with %d open graces; it ended %s before", s, k.size, how, len(k.openKeys), at.Sub(k.end()).Round(time.Millisecond))
}

// find looks at every byte of a copy for what opens a kubbi, or is open.
func (a *attacker) find(f files, about []*record) (found []finding) {
	s := &needles{}
	add := func(text []byte, r *record, what string) {
		s.add(text, func(name string) { found = append(found, finding{r, what, name}) })
	}
	add([]byte(noteMarker), nil, metadataInTheOpen)
	for _, r := range about {
		add([]byte(r.content()[:24]), r, payloadInTheOpen)
		if e := a.exposed(r); e != nil {
			add(e.secret[:], r, itsSecret)
			for _, k := range e.keys {
				add(k, r, itsKey)
			}
		}
	}
	for name, b := range f {
		s.search(b, name)
	}
	return found
}

// force says whether any secret of the slots opens a kubbi's payload, whose
// ciphertext an older copy has.
func (a *attacker) force(f files, r *record) bool {
	e := a.exposed(r)
	trial := newTrial(r)
	for name, b := range f {
		if !isSlots(name) {
			continue
		}
		for _, c := range candidates(nil, b, 0, len(b)) {
			for _, master := range a.masters {
				payload, _ := derive(master, c.secret, r)
				key, _ := aes.NewCipher(payload)
				if trial.opens(key, e.header[:], e.sealed[:]) {
					return true
				}
			}
		}
	}
	return false
}

// needles are byte strings that are looked for all at once. Each has 8 bytes at
// least.
type needles struct {
	filter [1 << 16 / 8]byte
	first  map[uint64][]needle
}

type needle struct {
	text  []byte
	found func(name string)
}

func slot(v uint64) uint16 { return uint16(v * 0x9e3779b97f4a7c15 >> 48) }

func (n *needles) add(text []byte, found func(name string)) {
	if n.first == nil {
		n.first = map[uint64][]needle{}
	}
	v := binary.LittleEndian.Uint64(text)
	n.first[v] = append(n.first[v], needle{text, found})
	n.filter[slot(v)/8] |= 1 << (slot(v) % 8)
}

func (n *needles) search(b []byte, name string) {
	for i := 0; i+8 <= len(b); i++ {
		v := binary.LittleEndian.Uint64(b[i:])
		if s := slot(v); n.filter[s/8]&(1<<(s%8)) == 0 {
			continue
		}
		for _, needle := range n.first[v] {
			if bytes.HasPrefix(b[i:], needle.text) {
				needle.found(name)
			}
		}
	}
}
