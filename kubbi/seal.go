package kubbi

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// A sealed kubbi is encrypted before it is sent. The key is in the claim URL's fragment,
// which no request carries. The metadata says that the kubbi is sealed, and has an id of
// the key. docs/wire.md describes the format.

const (
	sealVersion    = 2
	sealMember     = "sealed" // of the metadata
	fragmentPrefix = "k="
	keyIDLabel     = "kubbi-sealed-2-kid:" // no other hash begins with it
	keyIDLength    = 16                    // characters, 96 bits
)

// sealKey is the key of one sealed kubbi.
type sealKey [32]byte

func newSealKey() *sealKey {
	k := new(sealKey)
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// fragment is what follows "#" in the claim URL.
func (k *sealKey) fragment() string {
	return fragmentPrefix + base64.RawURLEncoding.EncodeToString(k[:])
}

// id identifies the key without revealing it.
func (k *sealKey) id() string {
	h := sha256.Sum256(append([]byte(keyIDLabel), k[:]...))
	return base64.RawURLEncoding.EncodeToString(h[:])[:keyIDLength]
}

// withKey gives a claim URL with the key as its fragment.
func (k *sealKey) withKey(claimURL string) string {
	url, _, _ := strings.Cut(claimURL, "#")
	return url + "#" + k.fragment()
}

// sealKeyOf reads the key from a claim URL's fragment; nil: there is none.
func sealKeyOf(fragment string) (*sealKey, error) {
	if fragment == "" {
		return nil, nil
	}
	text, ok := strings.CutPrefix(fragment, fragmentPrefix)
	b, whole := exactBase64(text, len(sealKey{}))
	if !ok || !whole {
		return nil, notOpened("what stands after # in the claim URL is not a whole key, so a part of it was lost or changed: ask the sender for the whole claim URL; nothing was claimed")
	}
	return (*sealKey)(b), nil
}

// seal is the member of the metadata that describes a sealed kubbi.
type seal struct {
	V    int    `json:"v"`
	KID  string `json:"kid"`
	Text bool   `json:"text,omitzero"` // all contents are text
	// To has the key for each recipient; nil: the key is in the claim URL.
	To []sealedFor `json:"to,omitzero"`
}

// addSeal adds the seal to the caller's metadata, which is a JSON object or nil. text says
// that all contents are text.
func (k *sealKey) addSeal(metadata []byte, text bool, to ...sealedFor) (jsontext.Value, error) {
	s, err := jsonv2.Marshal(map[string]seal{sealMember: {V: sealVersion, KID: k.id(), Text: text, To: to}})
	if err != nil || metadata == nil {
		return s, err
	}
	var members map[string]jsontext.Value
	if err := jsonv2.Unmarshal(metadata, &members); err != nil {
		return nil, invalid("metadata is not a JSON object")
	}
	switch _, taken := members[sealMember]; {
	case taken:
		return nil, invalid("metadata of a sealed kubbi can't have a member %q of its own", sealMember)
	case len(members) == 0:
		return s, nil
	}
	return append(append(s[:len(s)-1], ','), metadata[1:]...), nil
}

// sealOf finds the seal in metadata. A seal that can't be read has version 0.
func sealOf(metadata []byte) (s seal, sealed bool) {
	var m struct {
		Sealed jsontext.Value `json:"sealed"`
	}
	again := jsontext.AllowDuplicateNames(true)
	if len(metadata) == 0 || jsonv2.Unmarshal(metadata, &m, again) != nil || m.Sealed.Kind() != '{' {
		return seal{}, false
	}
	if jsonv2.Unmarshal(m.Sealed, &s, again) != nil {
		return seal{}, true
	}
	return s, true
}

// Sealed reports whether the kubbi is sealed, so that claiming it needs the whole claim
// URL, with the key after "#".
func (in *Inspected) Sealed() bool {
	_, sealed := sealOf(in.Metadata)
	return sealed
}

// SealedText reports whether the kubbi is sealed and, according to its sender, has only
// text. Its types and files are known only when it is opened.
func (in *Inspected) SealedText() bool {
	s, sealed := sealOf(in.Metadata)
	return sealed && s.Text
}

// Sealed reports whether the payload was sealed.
func (c *Claimed) Sealed() bool {
	_, sealed := sealOf(c.Metadata)
	return sealed
}

// notOpened is the error for a claim that is refused before it counts.
func notOpened(message string) *Error {
	return &Error{Code: api.CodeValidation, Message: message, kind: ErrSealed, permanent: true}
}

// spent changes e into the error for a claim that has counted. If the relay keeps the
// payload for its grace, the same claim may get an intact payload the next time.
func spent(e *Error) *Error {
	e.Message += "; the claim has counted, and only a relay that keeps the payload for its grace time gives it to the same claim again"
	e.Code, e.Uncertain = "", true
	return e
}
