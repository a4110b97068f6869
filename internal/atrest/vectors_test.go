package atrest_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"testing"

	"kubbi-mcp/internal/atrest"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vector is a sealing with all its inputs. Plaintexts longer than a few bytes are one
// byte repeated, and their chunks are given by SHA-256.
type vector struct {
	Name      string `json:"name"`
	Keyring   string `json:"keyring"` // JSON of Encode
	KeyID     string `json:"key_id"`
	Master    string `json:"master"`  // hex
	Secret    string `json:"secret"`  // hex, of the kubbi; empty: without
	Context   string `json:"context"` // hex
	Purpose   string `json:"purpose"`
	Data      string `json:"data"`   // hex
	Prefix    string `json:"prefix"` // hex, what the random source gives
	Fill      byte   `json:"fill"`   // the plaintext is Size times this byte
	Size      int    `json:"size"`
	Sealed    string `json:"sealed,omitempty"` // hex
	SealedSHA string `json:"sealed_sha256"`    // hex
}

func (v vector) binding(t *testing.T) atrest.Binding {
	t.Helper()
	return atrest.Binding{Size: int64(v.Size), Data: unhex(t, v.Data)}
}

// TestVectors opens and seals the vectors of testdata, and seals them a second time as
// the package comment says, with HMAC and AES-GCM alone.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	if *update {
		writeVectors(t, file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 6 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			ring, err := atrest.ParseKeyring([]byte(v.Keyring))
			if err != nil {
				t.Fatal(err)
			}
			if id := sha256.Sum256(append([]byte("kubbi-mcp/atrest/1/id"), unhex(t, v.Master)...)); hex.EncodeToString(id[:8]) != v.KeyID {
				t.Errorf("key id is not %s", v.KeyID)
			}
			key := purposeKey(t, ring, v.KeyID, unhex(t, v.Secret), string(unhex(t, v.Context)), atrest.Purpose(v.Purpose))
			plain := bytes.Repeat([]byte{v.Fill}, v.Size)
			s, err := key.Seal(bytes.NewReader(unhex(t, v.Prefix)), v.binding(t), bytes.NewReader(plain))
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := io.ReadAll(s)
			if err != nil {
				t.Fatal(err)
			}
			byHand := sealByHand(t, v)
			if sum := sha256.Sum256(sealed); hex.EncodeToString(sum[:]) != v.SealedSHA {
				t.Error("what was sealed differs from the vector")
			}
			if !bytes.Equal(sealed, byHand) {
				t.Error("what was sealed differs from what is made by hand")
			}
			if v.Sealed != "" && hex.EncodeToString(sealed) != v.Sealed {
				t.Error("what was sealed differs from the bytes of the vector")
			}
			if got, err := open(key, v.binding(t), byHand); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

// sealByHand follows the package comment, step by step.
func sealByHand(t *testing.T, v vector) (out []byte) {
	t.Helper()
	hash := func(key, data []byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write(data)
		return m.Sum(nil)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	// RFC 5869: the first block of expand; of a payload then extract, and the first block
	// of expand.
	info := []byte("kubbi-mcp/atrest/2/" + v.Purpose)
	context := unhex(t, v.Context)
	key := hash(unhex(t, v.Master), join(info, []byte("/"), unhex(t, v.Secret), context, []byte{1}))
	if v.Purpose == "payload" {
		ikm := hash(unhex(t, v.Master), join(info, []byte("/"), unhex(t, v.Secret), []byte{1}))
		key = hash(hash(context, ikm), join(info, []byte{1}))
	}
	aad := join([]byte{2}, binary.BigEndian.AppendUint64(nil, uint64(v.Size)), unhex(t, v.Data))
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	prefix, plain := unhex(t, v.Prefix), bytes.Repeat([]byte{v.Fill}, v.Size)
	out = join([]byte{2}, prefix)
	for i := 0; ; i++ {
		n := min(len(plain), 64<<10)
		last := byte(0)
		if n == len(plain) {
			last = 1
		}
		out = gcm.Seal(out, join(prefix, binary.BigEndian.AppendUint32(nil, uint32(i)), []byte{last}), plain[:n], aad)
		if plain = plain[n:]; last == 1 {
			return out
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeVectors(t *testing.T, file string) {
	t.Helper()
	var out []vector
	for i, v := range []vector{
		{Name: "empty"},
		{Name: "one byte", Size: 1, Fill: 'a'},
		{Name: "forty bytes", Size: 40, Fill: 'm'},
		{Name: "record", Purpose: "record", Size: 300, Fill: '{'},
		{Name: "answer", Purpose: "answer", Size: 32, Fill: 7},
		{Name: "notify", Purpose: "notify", Size: 32, Fill: 8},
		{Name: "exact chunk", Size: 64 << 10, Fill: ' '},
		{Name: "chunk and a byte", Size: 64<<10 + 1, Fill: 255},
		{Name: "three chunks", Size: 128<<10 + 5, Fill: ','},
		{Name: "reply", Purpose: "reply", Size: 32, Fill: 9},
	} {
		seed := byte(100 + i)
		ring := newRing(t, seed)
		text, err := ring.Encode()
		if err != nil {
			t.Fatal(err)
		}
		v.Keyring, v.KeyID, v.Master = string(text), ring.Sealing(when), hex.EncodeToString(bytesOf(seed, 32))
		v.Context, v.Prefix, v.Data = hex.EncodeToString(bytesOf(seed+50, 32)), hex.EncodeToString(bytesOf(seed+100, 7)), hex.EncodeToString(bytesOf(seed+120, 32))
		v.Secret = hex.EncodeToString(bytesOf(seed+20, 32))
		switch v.Purpose {
		case "":
			v.Purpose = "payload"
		case "record":
			v.Context = ""
		case "notify":
			v.Secret = ""
		}
		sealed := sealByHand(t, v)
		sum := sha256.Sum256(sealed)
		v.SealedSHA = hex.EncodeToString(sum[:])
		if v.Size < 400 {
			v.Sealed = hex.EncodeToString(sealed)
		}
		out = append(out, v)
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
