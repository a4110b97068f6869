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
	"os"
	"testing"

	"kubbi-mcp/relay/atrest"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vector is a sealing whose every input is written down. Plaintexts longer
// than a few bytes are a byte repeated, and their chunks are known by SHA-256.
type vector struct {
	Name        string   `json:"name"`
	Keyring     string   `json:"keyring"` // JSON of Encode
	KeyID       string   `json:"key_id"`
	Secret      string   `json:"secret"` // hex
	Salt        string   `json:"salt"`   // hex
	Purpose     string   `json:"purpose"`
	KubbiID     string   `json:"kubbi_id"`
	Part        int      `json:"part"`
	Parts       int      `json:"parts"`
	FileName    string   `json:"file_name"`
	ContentType string   `json:"content_type"`
	Prefix      string   `json:"prefix"` // hex, what the random source gives
	Fill        byte     `json:"fill"`   // the plaintext is Size times this byte
	Size        int      `json:"size"`
	Sealed      []string `json:"sealed,omitempty"` // hex
	SealedSHA   []string `json:"sealed_sha256"`    // hex
}

func (v vector) binding() atrest.Binding {
	return atrest.Binding{KubbiID: v.KubbiID, Part: v.Part, Parts: v.Parts, Size: int64(v.Size), Name: v.FileName, ContentType: v.ContentType}
}

// TestVectors opens and seals what testdata holds, and builds every chunk a
// second time from the package comment with nothing but HMAC and AES-GCM.
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
			secret, salt, prefix := unhex(t, v.Secret), unhex(t, v.Salt), unhex(t, v.Prefix)
			if id := sha256.Sum256(append([]byte("kubbi-mcp/atrest/1/id"), secret...)); hex.EncodeToString(id[:8]) != v.KeyID {
				t.Errorf("key id is not %s", v.KeyID)
			}
			key, err := ring.Key(v.KeyID, salt, atrest.Purpose(v.Purpose))
			if err != nil {
				t.Fatal(err)
			}
			plain := bytes.Repeat([]byte{v.Fill}, v.Size)
			var chunks [][]byte
			for c, err := range key.Seal(bytes.NewReader(prefix), v.binding(), plain) {
				if err != nil {
					t.Fatal(err)
				}
				chunks = append(chunks, bytes.Clone(c))
			}
			byHand := sealByHand(t, v, secret, salt, prefix, plain)
			if len(chunks) != len(v.SealedSHA) || len(byHand) != len(v.SealedSHA) {
				t.Fatalf("%d chunks, %d by hand, want %d", len(chunks), len(byHand), len(v.SealedSHA))
			}
			for i, c := range chunks {
				if sum := sha256.Sum256(c); hex.EncodeToString(sum[:]) != v.SealedSHA[i] {
					t.Errorf("chunk %d differs from the vector", i)
				}
				if !bytes.Equal(c, byHand[i]) {
					t.Errorf("chunk %d differs from the one made by hand", i)
				}
				if v.Sealed != nil && hex.EncodeToString(c) != v.Sealed[i] {
					t.Errorf("chunk %d differs from the bytes of the vector", i)
				}
			}
			if got, err := open(key, v.binding(), byHand); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

// sealByHand follows the package comment, step by step.
func sealByHand(t *testing.T, v vector, secret, salt, prefix, plain []byte) (chunks [][]byte) {
	t.Helper()
	hash := func(key, data []byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write(data)
		return m.Sum(nil)
	}
	be32 := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	str := func(s string) []byte { return join(be32(len(s)), []byte(s)) }
	// RFC 5869: extract, then the first block of expand.
	prk := hash(salt, secret)
	key := hash(prk, join([]byte("kubbi-mcp/atrest/1/"+v.Purpose), be32(v.Part), []byte{1}))
	aad := join([]byte{1}, str(v.KubbiID), be32(v.Part), be32(v.Parts),
		binary.BigEndian.AppendUint64(nil, uint64(v.Size)), str(v.FileName), str(v.ContentType))
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		n := min(len(plain), 1<<20)
		last := byte(0)
		if n == len(plain) {
			last = 1
		}
		sealed := gcm.Seal(nil, join(prefix, be32(i), []byte{last}), plain[:n], aad)
		if i == 0 {
			sealed = join([]byte{1}, prefix, sealed)
		}
		chunks = append(chunks, sealed)
		if plain = plain[n:]; last == 1 {
			return chunks
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
		{Name: "empty", Parts: 1, ContentType: "text/plain"},
		{Name: "one byte", Parts: 1, ContentType: "text/plain", Size: 1, Fill: 'a'},
		{Name: "file", Part: 2, Parts: 3, FileName: "notes.md", ContentType: "text/markdown", Size: 40, Fill: 'm'},
		{Name: "answer", Purpose: "answer", Parts: 1, Size: 32, Fill: 7},
		{Name: "exact chunk", Parts: 1, ContentType: "application/json", Size: 1 << 20, Fill: ' '},
		{Name: "chunk and a byte", Part: 1, Parts: 2, FileName: "b.bin", ContentType: "application/octet-stream", Size: 1<<20 + 1, Fill: 255},
		{Name: "three chunks", Parts: 1, ContentType: "text/csv", Size: 2<<20 + 5, Fill: ','},
	} {
		seed := byte(100 + i)
		ring := newRing(t, seed)
		text, err := ring.Encode()
		if err != nil {
			t.Fatal(err)
		}
		v.Keyring, v.KeyID, v.Secret = string(text), ring.Sealing(when), hex.EncodeToString(bytesOf(seed, 32))
		v.Salt, v.Prefix = hex.EncodeToString(bytesOf(seed+50, 32)), hex.EncodeToString(bytesOf(seed+100, 7))
		v.KubbiID = "4946ce10-f9ee-4d6e-95ca-d7d500dd2e6a"
		if v.Purpose == "" {
			v.Purpose = "payload"
		}
		for _, c := range sealByHand(t, v, unhex(t, v.Secret), unhex(t, v.Salt), unhex(t, v.Prefix), bytes.Repeat([]byte{v.Fill}, v.Size)) {
			sum := sha256.Sum256(c)
			v.SealedSHA = append(v.SealedSHA, hex.EncodeToString(sum[:]))
			if v.Size < 200 {
				v.Sealed = append(v.Sealed, hex.EncodeToString(c))
			}
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
