package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// record holds metadata and file descriptions, which a store keeps only in sealed form.
type record struct {
	Version  int            `json:"v"`
	Metadata jsontext.Value `json:"metadata,omitzero"` // a JSON object; nil: none
	Files    []api.RawFile  `json:"files,omitzero"`    // of a package, in the order of the payload
	Ask      *ask           `json:"ask,omitzero"`      // of a request; nil: it is a kubbi
	AnswerTo store.Token    `json:"answer,omitzero"`   // of an answer: its request
}

const recordVersion = 2

var errRecord = errors.New("its record has another version")

func (r record) encode() ([]byte, error) {
	r.Version = recordVersion
	return json.Marshal(r)
}

// decodeRecord reads what encode wrote. Since only a relay can have sealed it, an error
// means that it has another version.
func decodeRecord(b []byte) (r record, err error) {
	if json.Unmarshal(b, &r, json.RejectUnknownMembers(true)) != nil || r.Version != recordVersion {
		return record{}, errRecord
	}
	return r, nil
}

// boundFields encodes the fields of a kubbi's row that are not sealed and never
// change. The record and the webhook target are bound to them: if a field was changed or
// comes from another kubbi, neither opens.
func boundFields(k *store.Kubbi) []byte {
	b := make([]byte, 0, 192+len(k.Owner)+len(k.ContentType))
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	number := func(n int64) { b = binary.BigEndian.AppendUint64(b, uint64(n)) }
	text(k.ID)
	number(int64(k.Token.Number))
	b = append(b, k.Token.Hash[:]...)
	text(k.Owner)
	text(k.MasterKey)
	kind := byte(0)
	if k.Package {
		kind = 1
	}
	b = append(b, kind)
	text(k.ContentType)
	for _, n := range []int64{int64(k.FileCount), k.Size, int64(k.MaxRetrievals), k.CreatedAt.UnixMilli(), k.ExpiresAt.UnixMilli()} {
		number(n)
	}
	return b
}

// sealRecord seals a new kubbi's record.
func (rl *Relay) sealRecord(ring *atrest.Keyring, k *store.Kubbi, r record) ([]byte, error) {
	key, err := ring.Key(k.MasterKey, k.Secret[:], atrest.Record, nil)
	if err != nil {
		return nil, err
	}
	plain, err := r.encode()
	if err != nil {
		return nil, errors.New("record can't be written as JSON") // err may quote it
	}
	sealed, err := key.SealBytes(rl.cfg.Rand, boundFields(k), plain)
	if err != nil {
		return nil, fmt.Errorf("seal record: %w", err)
	}
	if len(sealed) > store.MaxRecord {
		return nil, invalid("names, types and metadata must be shorter together")
	}
	return sealed, nil
}

// opened is a kubbi with its opened record. A wiped kubbi has no record, so its fields can't
// be verified.
type opened struct {
	*store.Kubbi
	record
	ring  *atrest.Keyring
	wiped bool
}

// open opens a kubbi's record. The error is store.ErrDamaged if the record does not open, or
// is missing although the kubbi is active. Then no field of the row can be trusted.
func open(ring *atrest.Keyring, k *store.Kubbi) (*opened, error) {
	if k.Secret == (store.Secret{}) || k.Record == nil {
		if k.Status == store.Active {
			return nil, damaged(k, "its record is missing")
		}
		return &opened{Kubbi: k, wiped: true}, nil
	}
	key, err := ring.Key(k.MasterKey, k.Secret[:], atrest.Record, nil)
	if err != nil {
		return nil, err
	}
	plain, err := key.OpenBytes(boundFields(k), k.Record)
	if err != nil {
		return nil, damaged(k, "its record does not open")
	}
	r, err := decodeRecord(plain)
	if err != nil {
		return nil, damaged(k, err.Error())
	}
	return &opened{Kubbi: k, record: r, ring: ring}, nil
}

// damaged is the error for a kubbi that was changed in the store or is incomplete.
func damaged(k *store.Kubbi, why string) error {
	return fmt.Errorf("%w: kubbi %s: %s", store.ErrDamaged, k.ID, why)
}

// payloadKey gives the key of a kubbi's payload, and its binding to the record.
func payloadKey(ring *atrest.Keyring, k *store.Kubbi, t token) (*atrest.Key, atrest.Binding, error) {
	sum := sha256.Sum256(k.Record)
	key, err := ring.Key(k.MasterKey, k.Secret[:], atrest.Payload, t.raw)
	return key, atrest.Binding{Size: k.Size, Data: sum[:]}, err
}
