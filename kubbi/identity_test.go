package kubbi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The published vector for this suite: mode 0, KEM 0x0020, KDF 0x0001 and AEAD 0x0002 of the
// test vectors of RFC 9180 (CFRG's test-vectors.json), the first encryption.
func TestHPKEVector(t *testing.T) {
	const (
		info    = "4f6465206f6e2061204772656369616e2055726e"
		private = "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d"
		public  = "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c"
		enc     = "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256"
		aad     = "436f756e742d30"
		plain   = "4265617574792069732074727574682c20747275746820626561757479"
		sealed  = "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a"
	)
	i := newIdentity([32]byte(unhex(t, private)))
	if got := hex.EncodeToString(i.recipient.key[:]); got != public {
		t.Errorf("the public key is %s", got)
	}
	got, ok := i.unwrap(unhex(t, info), unhex(t, aad), unhex(t, enc+sealed))
	if !ok || hex.EncodeToString(got) != plain {
		t.Errorf("opens to %x", got)
	}
	wrapped, err := i.recipient.wrap(unhex(t, info), unhex(t, aad), unhex(t, plain))
	if err != nil || len(wrapped) != len(enc+sealed)/2 {
		t.Fatalf("%d bytes, %v", len(wrapped), err)
	}
	if got, ok = i.unwrap(unhex(t, info), unhex(t, aad), wrapped); !ok || hex.EncodeToString(got) != plain {
		t.Errorf("our own opens to %x", got)
	}
	for name, open := range map[string]func() ([]byte, bool){
		"another info": func() ([]byte, bool) { return i.unwrap(nil, unhex(t, aad), wrapped) },
		"another aad":  func() ([]byte, bool) { return i.unwrap(unhex(t, info), nil, wrapped) },
		"another key":  func() ([]byte, bool) { return GenerateIdentity().unwrap(unhex(t, info), unhex(t, aad), wrapped) },
		"cut off":      func() ([]byte, bool) { return i.unwrap(unhex(t, info), unhex(t, aad), wrapped[:len(wrapped)-1]) },
		"the key alone": func() ([]byte, bool) {
			return i.unwrap(unhex(t, info), unhex(t, aad), wrapped[:encapsulatedKey])
		},
		"nothing": func() ([]byte, bool) { return i.unwrap(unhex(t, info), unhex(t, aad), nil) },
	} {
		if got, ok := open(); ok || got != nil {
			t.Errorf("%s: opens to %x", name, got)
		}
	}
}

// The texts of keys are read back. Any other text is refused, and not quoted.
func TestKeyTexts(t *testing.T) {
	i := newIdentity([32]byte(bytes.Repeat([]byte{7}, 32)))
	r := i.Recipient()
	const public, secret = "kbp_E75P6uryBMf9M1j8nAByGIHRdCeBKCJ-xnTzf3_pe20PbSVT", "kbi_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwdLsG-O"
	if r.String() != public || i.Secret() != secret || r.Fingerprint() != "S3WP-MFCS-KDVI-MAI7" || r.KeyID() != "s8ftGyHeEdu1KHcD" {
		t.Errorf("%s, %s, %s, %s", r, i.Secret(), r.Fingerprint(), r.KeyID())
	}
	if again, err := ParseIdentity(" " + secret + "\n"); err != nil || again.Secret() != secret || again.Recipient() != r {
		t.Errorf("an identity is not read back: %v", err)
	}
	for _, text := range []string{r.String(), " `" + r.String() + "` ", "<" + r.String() + ">"} {
		if again, err := ParseRecipient(text); err != nil || again != r {
			t.Errorf("a recipient is not read back from %q: %v", text, err)
		}
	}
	if one, other := GenerateIdentity(), GenerateIdentity(); one.Secret() == other.Secret() || one.Recipient() == other.Recipient() {
		t.Error("two identities are one")
	}

	text := r.String()
	lowOrder := writeKey(recipientPrefix, [32]byte{1})
	noChecksum := recipientPrefix + base64.RawURLEncoding.EncodeToString(r.key[:])
	for _, bad := range []string{"", "kbp_", text[4:], text[:len(text)-1], text + "A", "kbp_" + flip(text[4:]), noChecksum, lowOrder, secret, "kbq_" + text[4:], text[:20] + "\n" + text[20:]} {
		_, err := ParseRecipient(bad)
		if !errors.Is(err, ErrValidation) || len(bad) > 4 && strings.Contains(err.Error(), bad[4:min(len(bad), 24)]) {
			t.Errorf("%q as a recipient: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "kbi_", secret[:51], secret + "A", "kbi_" + flip(secret[4:]), text, "kbi_" + text[4:51] + "!"} {
		_, err := ParseIdentity(bad)
		if !errors.Is(err, ErrValidation) || len(bad) > 4 && strings.Contains(err.Error(), bad[4:min(len(bad), 24)]) {
			t.Errorf("%q as an identity: %v", bad, err)
		}
	}
}

func flip(s string) string {
	b := []byte(s)
	if b[0] ^= 1; b[0] == '@' || b[0] == '`' {
		b[0] = 'z'
	}
	return string(b)
}

// Printing an identity or what holds it shows no key.
func TestIdentityIsNotPrinted(t *testing.T) {
	i := GenerateIdentity()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "identity", i, "value", *i)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "identity", i, "value", *i)
	text, err := json.Marshal(map[string]any{"identity": i, "value": *i})
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(text) + fmt.Sprint(i, *i) + fmt.Sprintf("%v %+v %#v %s %q %x %d %v %#v %d", i, i, i, i, i, i, i, *i, *i, *i)
	key := i.key.Bytes()
	wantNone(t, "what was printed", printed, i.Secret()[4:20], hex.EncodeToString(key)[:20], fmt.Sprint(key)[1:20], base64.StdEncoding.EncodeToString(key)[:20])
	if strings.Count(printed, i.Recipient().Fingerprint()) < 10 {
		t.Errorf("the fingerprint is not in it: %s", printed)
	}
}
