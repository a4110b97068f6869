package relay

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

func sampleKubbi(t *testing.T) (*Relay, *atrest.Keyring, *store.Kubbi, record) {
	t.Helper()
	random := bytes.NewReader(bytes.Repeat([]byte("0123456789abcdef"), 100))
	now := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	ring, err := atrest.NewKeyring(random, now)
	if err != nil {
		t.Fatal(err)
	}
	number := store.NumberAt(now)
	id, err := number.ID(random)
	if err != nil {
		t.Fatal(err)
	}
	k := &store.Kubbi{
		ID: id, Owner: "o", Token: store.Token{Number: number, Hash: store.Hash{1}}, MasterKey: ring.Sealing(now), Secret: store.Secret{2},
		Package: true, FileCount: 2, Size: 7, MaxRetrievals: 3, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	r := record{Version: recordVersion, Metadata: []byte(`{"a":"é"}`), Files: []api.RawFile{
		{Name: "a.txt", ContentType: "text/plain", Role: "data", SizeBytes: 3}, {Name: "b", ContentType: "a/b", Encoding: "base64", SizeBytes: 4},
	}}
	rl := &Relay{cfg: Config{Rand: random}}
	if k.Record, err = rl.sealRecord(ring, k, r); err != nil {
		t.Fatal(err)
	}
	return rl, ring, k, r
}

// TestRecord opens a record, and then with each field changed that it is bound to.
func TestRecord(t *testing.T) {
	_, ring, k, r := sampleKubbi(t)
	o, err := open(ring, k)
	if err != nil || !reflect.DeepEqual(o.record, r) {
		t.Fatalf("%v: %+v, want %+v", err, o, r)
	}
	for name, change := range map[string]func(k *store.Kubbi){
		"ID":            func(k *store.Kubbi) { k.ID = strings.Replace(k.ID, "0", "1", 1) },
		"Owner":         func(k *store.Kubbi) { k.Owner = "p" },
		"Number":        func(k *store.Kubbi) { k.Token.Number++ },
		"Hash":          func(k *store.Kubbi) { k.Token.Hash[31]++ },
		"Secret":        func(k *store.Kubbi) { k.Secret[0]++ },
		"Package":       func(k *store.Kubbi) { k.Package = false },
		"ContentType":   func(k *store.Kubbi) { k.ContentType = "text/plain" },
		"FileCount":     func(k *store.Kubbi) { k.FileCount++ },
		"Size":          func(k *store.Kubbi) { k.Size-- },
		"MaxRetrievals": func(k *store.Kubbi) { k.MaxRetrievals = 0 },
		"CreatedAt":     func(k *store.Kubbi) { k.CreatedAt = k.CreatedAt.Add(time.Millisecond) },
		"ExpiresAt":     func(k *store.Kubbi) { k.ExpiresAt = k.ExpiresAt.Add(time.Millisecond) },
		"Record":        func(k *store.Kubbi) { k.Record[len(k.Record)/2] ^= 1 },
		"Record cut":    func(k *store.Kubbi) { k.Record = k.Record[:len(k.Record)-1] },
		"Record empty":  func(k *store.Kubbi) { k.Record = []byte{} },
		"no Record":     func(k *store.Kubbi) { k.Record = nil },
		"no Secret":     func(k *store.Kubbi) { k.Secret = store.Secret{} },
	} {
		_, ring, k, _ := sampleKubbi(t)
		change(k)
		if o, err := open(ring, k); !errors.Is(err, store.ErrDamaged) || o != nil {
			t.Errorf("another %s: %v", name, err)
		}
	}
	k.MasterKey = "0123456789abcdef"
	if _, err := open(ring, k); !errors.Is(err, atrest.ErrUnknownKey) {
		t.Errorf("another master key: %v", err)
	}
	_, ring, k, _ = sampleKubbi(t)
	k.Secret, k.Record, k.Status = store.Secret{}, nil, store.Burned
	if o, err := open(ring, k); err != nil || !o.wiped || o.Files != nil || o.Metadata != nil {
		t.Errorf("a tombstone: %v", err)
	}
}

// FuzzDecodeRecord reads any bytes as a record. A record that it accepts must come back the same.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []record{{}, {Metadata: []byte("{}"), Files: []api.RawFile{{Name: "a", ContentType: "b/c", Role: "data", Encoding: "base64", SizeBytes: 1 << 40}}}} {
		b, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "null", "{}", `{"v":1}`, `{"v":2,"x":1}`, `{"v":2,"files":[{}]}`, `{"v":2,"metadata":{"a":1,"a":2}}`, `{"v":2}{}`, "\x01\x00\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		same, err := decodeRecord(again)
		if err != nil || !reflect.DeepEqual(same, r) {
			t.Errorf("%s: %+v, then %+v, %v", b, r, same, err)
		}
	})
}

// TestReplyToken checks that the claim token of an answer opens only with the token, the id and
// the secret of its request.
func TestReplyToken(t *testing.T) {
	rl, ring, k, _ := sampleKubbi(t)
	question, reply := tokenOf(bytes.Repeat([]byte{3}, tokenBytes)), tokenOf(bytes.Repeat([]byte{4}, tokenBytes))
	sealed, err := rl.sealReply(ring, k, question, ask{Message: "m", reply: reply})
	if err != nil {
		t.Fatal(err)
	}
	k.Record, err = rl.sealRecord(ring, k, record{Ask: sealed})
	if err != nil {
		t.Fatal(err)
	}
	o, err := open(ring, k)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := openReply(o, question); err != nil || got.text != reply.text || o.Ask.Message != "m" || o.Ask.reply.raw != nil {
		t.Errorf("%+v, %v", o.Ask, err)
	}
	for name, change := range map[string]func(k *store.Kubbi, t *token){
		"token":  func(_ *store.Kubbi, t *token) { t.raw = bytes.Repeat([]byte{5}, tokenBytes) },
		"id":     func(k *store.Kubbi, _ *token) { k.ID = strings.Replace(k.ID, "-7", "-8", 1) },
		"secret": func(k *store.Kubbi, _ *token) { k.Secret[0]++ },
	} {
		other, t2 := *k, question
		change(&other, &t2)
		if got, err := openReply(&opened{Kubbi: &other, record: o.record, ring: ring}, t2); !errors.Is(err, store.ErrDamaged) || got.raw != nil {
			t.Errorf("with another %s: %v", name, err)
		}
	}
}
