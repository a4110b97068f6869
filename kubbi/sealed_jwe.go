package kubbi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	jsonv2 "github.com/go-json-experiment/json"

	"kubbi-mcp/kubbi/api"
)

const (
	sealAlg = string(jose.DIRECT)
	sealEnc = string(jose.A256GCM)
)

// Bounds of a JWE's parts, in characters.
const (
	maxSealHeader = 4 << 10
	sealIVLen     = 16 // 12 bytes
	sealTagLen    = 22 // 16 bytes
)

// sealHeader is the protected header: these members and no others. It can't be
// changed, but it can be read without the key.
type sealHeader struct {
	Alg   string     `json:"alg"`
	Enc   string     `json:"enc"`
	Cty   string     `json:"cty"` // the content type of what is inside
	Kubbi sealedPart `json:"kubbi"`
}

// sealedPart says what of a kubbi is inside, so that nothing stands for another
// thing. The place of a file among the others is part of it: files can't be
// swapped or left out.
type sealedPart struct {
	V     int    `json:"v"`
	Is    string `json:"is"`             // isContent, isFile or isLabel
	File  int    `json:"file,omitempty"` // its place, from 1
	Files int    `json:"files,omitempty"`
	Label string `json:"label,omitempty"` // the file's, a JWE of its own: a header is no secret
}

const (
	isContent = "content"
	isFile    = "file"
	isLabel   = "label"
)

// sealedLabel is what a file's label has inside, in JSON.
type sealedLabel struct {
	Name     string `json:"name"`
	Role     string `json:"role,omitzero"`
	Encoding string `json:"encoding,omitzero"` // how the sender gave the file; inside are its bytes
}

// sealed is one JWE opened, or to be made.
type sealed struct {
	contentType string
	part        sealedPart
	data        []byte
}

// addLabel encrypts the label of a file.
func (k *sealKey) addLabel(s *sealed, l sealedLabel) error {
	data, err := jsonv2.Marshal(&l)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	s.part.Is = isFile
	s.part.Label, err = k.seal(sealed{api.TypeJSON, sealedPart{Is: isLabel}, data})
	return err
}

// label opens a file's label.
func (k *sealKey) label(file *sealed) (l sealedLabel, err error) {
	s, err := k.open(file.part.Label)
	if err != nil {
		return l, err
	}
	if s.part != (sealedPart{V: sealVersion, Is: isLabel}) || jsonv2.Unmarshal(s.data, &l, jsonv2.RejectUnknownMembers(true)) != nil {
		return l, errSealForm
	}
	return l, nil
}

// seal encrypts a part and gives its JWE in compact form.
func (k *sealKey) seal(s sealed) (string, error) {
	s.part.V = sealVersion
	opts := (&jose.EncrypterOptions{}).
		WithContentType(jose.ContentType(s.contentType)).
		WithHeader("kubbi", s.part)
	enc, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: k[:]}, opts)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	obj, err := enc.Encrypt(s.data)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return obj.CompactSerialize()
}

// What may be wrong with a JWE. The words say nothing of it.
var (
	errSealForm   = errors.New("it does not have the form of a sealed content")
	errSealForged = errors.New("it was changed, or is sealed with another key")
)

// open decrypts what seal made, and nothing else: every other form of a JWE, and
// every other spelling of this one, is refused before it is decrypted.
func (k *sealKey) open(jwe string) (*sealed, error) {
	h, err := parseSealHeader(jwe)
	if err != nil {
		return nil, err
	}
	obj, err := jose.ParseEncryptedCompact(jwe, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, errSealForm
	}
	data, err := obj.Decrypt(k[:])
	if err != nil {
		return nil, errSealForged
	}
	return &sealed{h.Cty, h.Kubbi, data}, nil
}

// parseSealHeader checks a JWE's outer form and reads its header, which is not
// to be trusted before the whole is decrypted.
func parseSealHeader(jwe string) (*sealHeader, error) {
	parts := strings.SplitN(jwe, ".", 6)
	if len(parts) != 5 || len(parts[0]) > maxSealHeader || parts[1] != "" || len(parts[2]) != sealIVLen || len(parts[4]) != sealTagLen {
		return nil, errSealForm
	}
	// The decoder skips line ends, and go-jose's takes set bits after the last
	// byte: of several spellings only one is right.
	if strings.IndexByte(jwe, '\n') >= 0 || strings.IndexByte(jwe, '\r') >= 0 {
		return nil, errSealForm
	}
	strict := base64.RawURLEncoding.Strict()
	ciphertext := parts[3]
	for _, end := range []string{ciphertext[len(ciphertext)&^3:], parts[4]} {
		if _, err := strict.DecodeString(end); err != nil {
			return nil, errSealForm
		}
	}
	return readSealHeader(parts[0])
}

func readSealHeader(head string) (*sealHeader, error) {
	raw, err := decodeStrict(nil, []byte(head))
	if err != nil {
		return nil, err
	}
	var h sealHeader
	if err := jsonv2.Unmarshal(raw, &h, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, errSealForm
	}
	if h.Alg != sealAlg || h.Enc != sealEnc || h.Kubbi.V != sealVersion {
		return nil, errSealForm
	}
	return &h, nil
}
