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

// record is what a store keeps of a kubbi in sealed form only, beside the payload.
type record struct {
	Version  int            `json:"v"`
	Metadata jsontext.Value `json:"metadata,omitzero"` // a JSON object; nil: none
	Files    []api.RawFile  `json:"files,omitzero"`    // of a package, in the order of the payload
}

const recordVersion = 2

var errRecord = errors.New("its record has another version")

func (r record) encode() ([]byte, error) {
	r.Version = recordVersion
	return json.Marshal(r)
}

// decodeRecord reads what encode wrote. Only a relay can have sealed it, so an error
// means another version.
func decodeRecord(b []byte) (r record, err error) {
	if json.Unmarshal(b, &r, json.RejectUnknownMembers(true)) != nil || r.Version != recordVersion {
		return record{}, errRecord
	}
	return r, nil
}

// boundFields encodes the fields of a kubbi's row that are not sealed and never
// change. The record and the webhook target are bound to them: if one of them was
// changed, or is that of another kubbi, nothing opens.
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

// opened is a kubbi with its record. If the kubbi is wiped there is no record, and
// nothing proves what its row says.
type opened struct {
	*store.Kubbi
	record
	ring  *atrest.Keyring
	wiped bool
}

// open opens a kubbi's record. A record that does not open, and an active kubbi
// without one, are store.ErrDamaged: then nothing of the row can be trusted.
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

// damaged is the error of a kubbi that was changed in the store, or lost in part.
func damaged(k *store.Kubbi, why string) error {
	return fmt.Errorf("%w: kubbi %s: %s", store.ErrDamaged, k.ID, why)
}

// payloadKey is the key of a kubbi's payload, and what the payload is bound to: the
// record.
func payloadKey(ring *atrest.Keyring, k *store.Kubbi, t token) (*atrest.Key, atrest.Binding, error) {
	sum := sha256.Sum256(k.Record)
	key, err := ring.Key(k.MasterKey, k.Secret[:], atrest.Payload, t.raw)
	return key, atrest.Binding{Size: k.Size, Data: sum[:]}, err
}
