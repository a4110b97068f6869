package local

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"

	"kubbi-mcp/relay"
)

// Headers with which the relays of one machine recognise each other: docs/security.md.
const (
	// headerID is on every answer to /health: the public key of the relay's data
	// directory.
	headerID = "Kubbi-Relay"
	// headerChallenge is on a request to /health: random bytes.
	headerChallenge = "Kubbi-Relay-Challenge"
	// headerProof answers a challenge: a signature of the challenge and of the address
	// that received it, with the key in headerID.
	headerProof = "Kubbi-Relay-Proof"
)

const challengeBytes = 32

// identity is the key pair of a data directory's relay. Every process that serves the
// directory has the same one.
type identity struct {
	public  string // the public key, base64url; not secret
	private ed25519.PrivateKey
}

// newIdentity derives the identity from the directory's API key.
func newIdentity(apiKey string) identity {
	mac := hmac.New(sha256.New, []byte(apiKey))
	mac.Write([]byte("kubbi-mcp/local/2/relay"))
	private := ed25519.NewKeyFromSeed(mac.Sum(nil))
	public, _ := private.Public().(ed25519.PublicKey)
	return identity{public: base64.RawURLEncoding.EncodeToString(public), private: private}
}

// tokenMark is the mark at the end of a token from the relay with that public key. head is
// the rest of the token: 8 bytes of time and 16 random bytes. So 128 bits of the token are
// random.
func tokenMark(public string, head []byte) (m [8]byte) {
	h := sha256.New()
	h.Write([]byte("kubbi-mcp/local/2/mark/" + public + "/"))
	h.Write(head)
	copy(m[:], h.Sum(nil))
	return m
}

func (i identity) tokenMark(head []byte) [8]byte { return tokenMark(i.public, head) }

// madeBy reports whether the relay with that public key made a token.
func madeBy(public, token string) bool {
	head, m, ok := relay.SplitToken(token)
	return ok && m == tokenMark(public, head)
}

// introduce sets the header with the relay's public key. If the request has a challenge, it
// also sets the proof and returns true.
func (i identity) introduce(h http.Header, r *http.Request) (proved bool) {
	h.Set(headerID, i.public)
	challenge, err := base64.RawURLEncoding.DecodeString(r.Header.Get(headerChallenge))
	at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if err != nil || len(challenge) != challengeBytes || !ok {
		return false
	}
	signed := ed25519.Sign(i.private, statement(challenge, at))
	h.Set(headerProof, base64.RawURLEncoding.EncodeToString(signed))
	return true
}

// proven reads the answer to a challenge that was sent to the address at. It returns the
// public key. ok says that the answer proves that the key's owner listens there. No other
// program can reuse such an answer, because it names the address.
func proven(h http.Header, challenge []byte, at net.Addr) (public string, ok bool) {
	public = h.Get(headerID)
	key, err := base64.RawURLEncoding.Strict().DecodeString(public)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return "", false
	}
	proof, err := base64.RawURLEncoding.DecodeString(h.Get(headerProof))
	return public, err == nil && ed25519.Verify(key, statement(challenge, at), proof)
}

// statement is the text that is signed.
func statement(challenge []byte, at net.Addr) []byte {
	addr := at.String()
	if a, err := netip.ParseAddrPort(addr); err == nil {
		addr = netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
	}
	return append([]byte("kubbi-mcp/local/2/proof/"+addr+"/"), challenge...)
}
