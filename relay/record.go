package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/relay/store"
)

// file describes a file of a package. Its bytes stand in the payload after those of
// the files before it.
type file struct {
	name        string
	contentType string
	role        string // empty: none
	encoding    string // as the producer gave it
	size        int64  // bytes before sealing
}

// record is what a store keeps of a kubbi only sealed, beside the payload.
type record struct {
	files    []file // package
	metadata []byte // a JSON object, or nil
}

// recordVersion begins a record.
const recordVersion = 1

// encode gives the record's bytes: numbers are varints, and a text follows its
// length.
func (r *record) encode() []byte {
	n := 16 + len(r.metadata)
	for _, f := range r.files {
		n += 16 + len(f.name) + len(f.contentType) + len(f.role) + len(f.encoding)
	}
	b := append(make([]byte, 0, n), recordVersion)
	b = appendText(b, string(r.metadata))
	b = binary.AppendUvarint(b, uint64(len(r.files)))
	for _, f := range r.files {
		for _, s := range []string{f.name, f.contentType, f.role, f.encoding} {
			b = appendText(b, s)
		}
		b = binary.AppendUvarint(b, uint64(f.size))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errRecord = errors.New("a record is not what this program writes")

// decodeRecord reads what encode gave. Nobody else can have sealed it, so an error
// is that of another version.
func decodeRecord(b []byte) (*record, error) {
	c := cutter{b: b}
	if c.bytes(1)[0] != recordVersion {
		return nil, errRecord
	}
	var r record
	if metadata := c.text(); metadata != "" {
		r.metadata = []byte(metadata)
	}
	for n := c.number(); n > 0 && !c.bad; n-- {
		r.files = append(r.files, file{c.text(), c.text(), c.text(), c.text(), int64(c.number())})
	}
	if c.bad || len(c.b) > 0 {
		return nil, errRecord
	}
	return &r, nil
}

// cutter takes a record apart until it is bad.
type cutter struct {
	b   []byte
	bad bool
}

func (c *cutter) bytes(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)) {
		c.bad = true
		return []byte{0}
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cutter) number() uint64 {
	n, size := binary.Uvarint(c.b)
	if size <= 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[size:]
	return n
}

func (c *cutter) text() string {
	b := c.bytes(c.number())
	if c.bad {
		return ""
	}
	return string(b)
}

// head is all of a kubbi that stands in clear in its row and never changes. The
// record, and who is to be told, are sealed to it: where any of it was changed, or
// stands beside another kubbi's record, nothing opens.
func head(k *store.Kubbi) []byte {
	b := make([]byte, 0, 192+len(k.Owner)+len(k.ContentType))
	b = appendText(b, k.ID)
	b = binary.BigEndian.AppendUint64(b, uint64(k.Token.Number))
	b = append(b, k.Token.Hash[:]...)
	b = appendText(b, k.Owner)
	b = appendText(b, k.MasterKey)
	kind := byte(0)
	if k.Package {
		kind = 1
	}
	b = append(b, kind)
	b = appendText(b, k.ContentType)
	for _, n := range []int64{int64(k.FileCount), k.Size, int64(k.MaxRetrievals), k.CreatedAt.UnixMilli(), k.ExpiresAt.UnixMilli()} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// sealRecord seals a new kubbi's record.
func (rl *Relay) sealRecord(ring *atrest.Keyring, k *store.Kubbi, r *record) ([]byte, error) {
	key, err := ring.Key(k.MasterKey, k.Secret[:], atrest.Record, nil)
	if err != nil {
		return nil, err
	}
	sealed, err := key.SealBytes(rl.cfg.Rand, head(k), r.encode())
	if err != nil {
		return nil, fmt.Errorf("seal record: %w", err)
	}
	if len(sealed) > store.MaxRecord {
		return nil, invalid("names, types and metadata must be shorter together")
	}
	return sealed, nil
}

// opened is a kubbi with what its record says. Where the kubbi is wiped that is
// nothing, and what stands in its row is not more than a claim of the store.
type opened struct {
	*store.Kubbi
	record
	ring  *atrest.Keyring
	wiped bool
}

// open opens a kubbi's record. One that does not open, or an active kubbi without
// one, is store.ErrDamaged: nothing of it is believed.
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
	plain, err := key.OpenBytes(head(k), k.Record)
	if err != nil {
		return nil, damaged(k, "its record does not open")
	}
	r, err := decodeRecord(plain)
	if err != nil {
		return nil, damaged(k, err.Error())
	}
	return &opened{Kubbi: k, record: *r, ring: ring}, nil
}

// damaged is the error of a kubbi that the store has changed or lost in part.
func damaged(k *store.Kubbi, why string) error {
	return fmt.Errorf("%w: kubbi %s: %s", store.ErrDamaged, k.ID, why)
}

// payloadKey gives what seals or opens the kubbi's payload, and its binding: it is
// bound to the record.
func payloadKey(ring *atrest.Keyring, k *store.Kubbi, t token) (*atrest.Key, atrest.Binding, error) {
	sum := sha256.Sum256(k.Record)
	key, err := ring.Key(k.MasterKey, k.Secret[:], atrest.Payload, t.raw)
	return key, atrest.Binding{Size: k.Size, Data: sum[:]}, err
}
