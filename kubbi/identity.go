package kubbi

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// The texts of keys are a prefix, and base64url of the key and of a checksum.
const (
	identityPrefix  = "kbi_"
	recipientPrefix = "kbp_"
	keyChecksum     = 4 // bytes of SHA-256

	recipientIDLabel = "kubbi-recipient-1:"
	fingerprintLabel = "kubbi-fingerprint-1:"
)

// Recipient is the public key of somebody for whom a payload can be sealed. It is no secret.
// Recipients are comparable with ==. The zero value is no key.
type Recipient struct{ key [32]byte }

// ParseRecipient reads what Recipient.String gives. Space and quotes around it are allowed.
// Errors match ErrValidation.
func ParseRecipient(text string) (Recipient, error) {
	text = unwrap(text)
	if strings.HasPrefix(text, identityPrefix) {
		return Recipient{}, invalid("this is a private key (%s...), which its owner must not give away: give the public key, %s...", identityPrefix, recipientPrefix)
	}
	key, ok := readKey(recipientPrefix, text)
	if !ok {
		return Recipient{}, invalid("not a whole public key, which begins with %s: ask the recipient for it, who gets it with `kubbi-mcp identity`", recipientPrefix)
	}
	r := Recipient{key}
	if _, err := r.wrap(nil, nil, nil); err != nil {
		return Recipient{}, err
	}
	return r, nil
}

// String gives the public key as a text, kbp_ and 48 characters.
func (r Recipient) String() string { return writeKey(recipientPrefix, r.key) }

// Fingerprint is a short form of the public key for people, who compare it to be sure of the
// key: four groups of four characters, as in K7QX-2M4N-ABCD-EFGH.
func (r Recipient) Fingerprint() string {
	h := sha256.Sum256(append([]byte(fingerprintLabel), r.key[:]...))
	s := base32.StdEncoding.EncodeToString(h[:10])
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

// KeyID is how the metadata of a sealed kubbi names the recipient: 16 characters of
// base64url.
func (r Recipient) KeyID() string {
	h := sha256.Sum256(append([]byte(recipientIDLabel), r.key[:]...))
	return base64.RawURLEncoding.EncodeToString(h[:])[:keyIDLength]
}

// Identity is a private key. It opens what is sealed for its Recipient. Printing and
// marshalling leave the key out.
type Identity struct {
	key       *ecdh.PrivateKey
	recipient Recipient
}

// GenerateIdentity makes a random identity.
func GenerateIdentity() *Identity {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return newIdentity(key)
}

// ParseIdentity reads what Identity.Secret gives. Errors match ErrValidation and do not
// quote the text.
func ParseIdentity(text string) (*Identity, error) {
	key, ok := readKey(identityPrefix, strings.TrimSpace(text))
	if !ok {
		return nil, invalid("not a whole private key, which begins with %s", identityPrefix)
	}
	return newIdentity(key), nil
}

func newIdentity(key [32]byte) *Identity {
	k, err := ecdh.X25519().NewPrivateKey(key[:])
	if err != nil {
		panic(err) // any 32 bytes are a key of X25519
	}
	return &Identity{key: k, recipient: Recipient{[32]byte(k.PublicKey().Bytes())}}
}

// Recipient gives the public key.
func (i *Identity) Recipient() Recipient { return i.recipient }

// Secret gives the private key as a text, kbi_ and 48 characters, for ParseIdentity: a
// secret.
func (i *Identity) Secret() string { return writeKey(identityPrefix, [32]byte(i.key.Bytes())) }

// String shows the fingerprint and no secret.
func (i Identity) String() string {
	return identityPrefix + "[redacted " + i.recipient.Fingerprint() + "]"
}

// Format writes what String shows, for every verb.
func (i Identity) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, i.String()) }

// MarshalText writes what String shows.
func (i Identity) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// writeKey gives the text of a key.
func writeKey(prefix string, key [32]byte) string {
	sum := sha256.Sum256(key[:])
	return prefix + base64.RawURLEncoding.EncodeToString(append(key[:], sum[:keyChecksum]...))
}

// readKey reads the text of a key. Its checksum finds a part that was lost or changed.
func readKey(prefix, text string) (key [32]byte, ok bool) {
	text, ok = strings.CutPrefix(text, prefix)
	if b, good := exactBase64(text, len(key)+keyChecksum); ok && good {
		key = [32]byte(b)
		sum := sha256.Sum256(key[:])
		return key, bytes.Equal(sum[:keyChecksum], b[len(key):])
	}
	return key, false
}

// exactBase64 reads base64url of size bytes. Each value has one text.
func exactBase64(text string, size int) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return b, err == nil && len(b) == size && len(text) == base64.RawURLEncoding.EncodedLen(size)
}

// The suite of HPKE, RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
var (
	suiteKDF  = hpke.HKDFSHA256()
	suiteAEAD = hpke.AES256GCM()
)

const encapsulatedKey = 32 // bytes before the ciphertext

// wrap encrypts a text for the recipient, in HPKE's base mode.
func (r Recipient) wrap(info, aad, plain []byte) ([]byte, error) {
	bad := invalid("a public key is not usable: ask the recipient for it again")
	key, err := ecdh.X25519().NewPublicKey(r.key[:])
	if err != nil {
		return nil, bad
	}
	public, err := hpke.NewDHKEMPublicKey(key)
	if err != nil {
		return nil, bad
	}
	enc, sender, err := hpke.NewSender(public, suiteKDF, suiteAEAD, info)
	if err != nil { // a point of low order
		return nil, bad
	}
	sealed, err := sender.Seal(aad, plain)
	return append(enc, sealed...), err
}

// unwrap decrypts what wrap gave. ok is false if it was made for another key, info or aad,
// or was changed.
func (i *Identity) unwrap(info, aad, wrapped []byte) (plain []byte, ok bool) {
	if len(wrapped) < encapsulatedKey {
		return nil, false
	}
	private, err := hpke.NewDHKEMPrivateKey(i.key)
	if err != nil {
		return nil, false
	}
	opener, err := hpke.NewRecipient(wrapped[:encapsulatedKey], private, suiteKDF, suiteAEAD, info)
	if err != nil {
		return nil, false
	}
	plain, err = opener.Open(aad, wrapped[encapsulatedKey:])
	return plain, err == nil
}
