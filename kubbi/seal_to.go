package kubbi

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The key of a sealed kubbi may be encrypted for recipients. Then the seal in its metadata
// has the encrypted key once for each of them, and the claim URL has no key. docs/wire.md
// describes it.

const (
	wrapInfoLabel  = "kubbi-to-1:" // before the binding
	answerFragment = "i="          // of the claim URL of an answer: private key and binding
	bindingSize    = 32            // bytes
)

// sealedFor is the key of a sealed kubbi, encrypted for one recipient.
type sealedFor struct {
	KID string `json:"kid"` // Recipient.KeyID
	Key string `json:"key"` // base64url
}

// sealedForBytes is how many bytes of metadata each recipient takes, with a comma.
const sealedForBytes = 143

func wrapInfo(binding []byte) []byte { return append([]byte(wrapInfoLabel), binding...) }

// wrapFor encrypts the key for each recipient. binding is empty, or says which request is
// answered.
func (k *sealKey) wrapFor(to []Recipient, binding []byte) ([]sealedFor, error) {
	var all []sealedFor
	for i, r := range to {
		if slices.Contains(to[:i], r) {
			continue
		}
		wrapped, err := r.wrap(wrapInfo(binding), []byte(k.id()), k[:])
		if err != nil {
			return nil, err
		}
		all = append(all, sealedFor{r.KeyID(), base64.RawURLEncoding.EncodeToString(wrapped)})
	}
	return all, nil
}

// unwrapKey decrypts the key of a sealed kubbi. found reports whether the kubbi is sealed
// for this identity; key is nil if what is there does not open.
func (i *Identity) unwrapKey(s seal, binding []byte) (key *sealKey, found bool) {
	id := i.recipient.KeyID()
	for _, f := range s.To {
		if f.KID != id {
			continue
		}
		found = true
		wrapped, ok := exactBase64(f.Key, encapsulatedKey+len(sealKey{})+sealTag)
		if !ok {
			continue
		}
		// The ciphertext of this length has a key's length.
		if plain, ok := i.unwrap(wrapInfo(binding), []byte(s.KID), wrapped); ok && (*sealKey)(plain).id() == s.KID {
			return (*sealKey)(plain), true
		}
	}
	return nil, found
}

// opener finds the key of a kubbi: after "#" in its claim URL, or in its metadata.
type opener struct {
	key        *sealKey  // after "#"; nil: none
	answer     *Identity // after "#" in the claim URL of an answer; nil: none
	binding    []byte    // of answer
	identities func() []*Identity
}

// openerFor reads the fragment of a claim URL.
func (c *Client) openerFor(fragment string) (*opener, error) {
	o := &opener{identities: c.identities}
	text, isAnswer := strings.CutPrefix(fragment, answerFragment)
	if !isAnswer {
		var err error
		o.key, err = sealKeyOf(fragment)
		return o, err
	}
	b, ok := exactBase64(text, len(sealKey{})+bindingSize)
	if !ok {
		return nil, notOpened("what stands after # in the claim URL is not a whole key, so a part of it was lost or changed: take the whole claim URL that the request gave; nothing was claimed")
	}
	o.answer, o.binding = newIdentity([32]byte(b)), b[len(sealKey{}):]
	return o, nil
}

// fragment is what follows "#" in the claim URL of an answer.
func (o *opener) fragment() string {
	return answerFragment + base64.RawURLEncoding.EncodeToString(append(o.answer.key.Bytes(), o.binding...))
}

// keyFor gives the key of a kubbi with this metadata; nil: it is not sealed. It refuses a
// kubbi that it can't open, and one that is not sealed although the claim URL has a key.
func (o *opener) keyFor(metadata []byte) (*sealKey, *Error) {
	s, sealed := sealOf(metadata)
	switch {
	case !sealed && o.answer != nil:
		return nil, notOpened("the claim URL is that of the answer to a request, but what it leads to is not sealed: somebody other than the one who was asked may have sent it")
	case !sealed && o.key != nil: // somebody may have replaced a sealed kubbi
		return nil, notOpened("the claim URL has a key after #, but what it leads to is not sealed and may not be what the sender sent: ask them")
	case !sealed:
		return nil, nil
	case s.V != sealVersion:
		return nil, notOpened("the kubbi is sealed in a way that this version does not know")
	case o.answer != nil:
		return o.keyOfAnswer(s)
	case o.key == nil && len(s.To) > 0:
		return o.keyOfMine(s)
	case o.key == nil:
		return nil, notOpened("the kubbi is sealed, and the part after # of its claim URL, which holds the key, was lost: ask the sender for the whole claim URL")
	case s.KID != o.key.id():
		return nil, notOpened("the kubbi is sealed with another key than the one after # in the claim URL, which was changed or belongs to another kubbi: ask the sender for the whole claim URL")
	}
	return o.key, nil
}

// keyOfAnswer opens with the private key in the claim URL of an answer.
func (o *opener) keyOfAnswer(s seal) (*sealKey, *Error) {
	key, found := o.answer.unwrapKey(s, o.binding)
	switch {
	case key != nil:
		return key, nil
	case found:
		return nil, notOpened("the answer was made for another request, or for other words or fields than those that you asked with: somebody may have changed the request on its way; ask again")
	}
	return nil, notOpened("what the claim URL leads to is not sealed for this request: somebody other than the one who was asked may have sent it; ask again")
}

// keyOfMine opens with the client's identities.
func (o *opener) keyOfMine(s seal) (*sealKey, *Error) {
	var mine []Recipient
	broken := false
	for _, identity := range o.mine() {
		key, found := identity.unwrapKey(s, nil)
		if key != nil {
			return key, nil
		}
		broken = broken || found
		mine = append(mine, identity.recipient)
	}
	switch them := strings.Join(s.recipients(), ", "); {
	case broken:
		return nil, notOpened("the kubbi is sealed for you, but its key does not open, so its metadata was changed: ask the sender to send it again")
	case len(mine) == 0:
		return nil, notOpened("the kubbi is sealed for the recipients with the key ids " + them + ", and there is no private key here: `kubbi-mcp identity` makes one, and prints the public key for the sender")
	default:
		return nil, notOpened("the kubbi is sealed for the recipients with the key ids " + them + ", and your key has the id " + mine[0].KeyID() + ": ask the sender to seal it for your public key, " + mine[0].String())
	}
}

func (o *opener) mine() []*Identity {
	if o.identities == nil {
		return nil
	}
	return o.identities()
}

// recipients are the key ids of the recipients. What does not have the form of one is left
// out.
func (s seal) recipients() []string {
	ids := []string{}
	for _, f := range s.To {
		if _, ok := exactBase64(f.KID, keyIDLength*3/4); ok && !slices.Contains(ids, f.KID) {
			ids = append(ids, f.KID)
		}
	}
	return ids
}

// RecipientsOf gives the key ids (Recipient.KeyID) of those for whom a kubbi is sealed, from
// its metadata. There are none if the key is in the claim URL, or the kubbi is not sealed.
func RecipientsOf(metadata []byte) []string {
	s, _ := sealOf(metadata)
	return s.recipients()
}

// ReadableMetadata gives metadata as people and models should see it: without the encrypted
// keys of recipients, which only programs need.
func ReadableMetadata(metadata json.RawMessage) json.RawMessage {
	if s, _ := sealOf(metadata); s.To == nil {
		return metadata
	}
	var all, sealed map[string]jsontext.Value
	options := jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsonv2.Deterministic(true))
	if jsonv2.Unmarshal(metadata, &all, options) != nil || jsonv2.Unmarshal(all[sealMember], &sealed, options) != nil {
		return metadata
	}
	delete(sealed, "to")
	all[sealMember], _ = jsonv2.Marshal(sealed, options) // these values were just read
	if b, err := jsonv2.Marshal(all, options); err == nil {
		return b
	}
	return metadata
}
