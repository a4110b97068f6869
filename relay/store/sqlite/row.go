package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
)

// columns are a row's but the payload, in the order of scan.
const columns = `number, status, slot, retrievals, first_at, last_at, ended_at, due,
	grace_key, grace_until, grace_number, grace_at, grace_more, key_until,
	created_at, expires_at, max_retrievals, package, file_count, size,
	hash, id, owner, master_key, content_type, key, quota, notify, record, body`

// row is a kubbi as the table has it.
type row struct {
	store.Life
	number                        store.Number
	slot                          int64 // 0: wiped
	due                           int64
	grace                         store.Grace // of graceKey
	graceKey                      store.Hash
	graceMore                     bool
	created                       store.Millis
	pkg                           bool
	fileCount                     int
	size                          int64
	hash, key                     store.Hash
	hasKey                        bool
	id                            uuid.UUID
	owner, masterKey, contentType string
	quota                         bool // created under a quota of active ones
	notify, record                []byte
	body                          int64 // bytes in a file; -1: none

	secret store.Secret
}

// tombstone is taken from the end of a kubbi to give the due of one with which
// only the retention has work.
const tombstone = 1 << 62

func prefix(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

var errRow = errors.New("a row is not what this program has written")

// scan reads the row a statement over columns stands on.
func (r *row) scan(s *stmt) error {
	r.number = store.Number(s.int(0))
	r.Status = store.Status(s.int(1))
	r.slot = s.int(2)
	r.Sealed = r.slot != 0
	r.Retrievals = int(s.int(3))
	r.First = s.time(4)
	r.Last = s.time(5)
	r.Ended = s.time(6)
	r.due = s.int(7)
	r.grace = store.Grace{Until: store.Never}
	if s.into(8, r.graceKey[:]) {
		r.grace = store.Grace{Until: s.time(9), Number: int(s.int(10)), At: s.time(11)}
	}
	r.graceMore = s.int(12) != 0
	r.KeyUntil = s.time(13)
	r.created = store.Millis(s.int(14))
	r.Expires = store.Millis(s.int(15))
	r.MaxRetrievals = int(s.int(16))
	r.pkg = s.int(17) != 0
	r.fileCount = int(s.int(18))
	r.size = s.int(19)
	good := s.into(20, r.hash[:])
	good = s.into(21, r.id[:]) && good
	r.owner = s.text(22)
	r.masterKey = s.text(23)
	r.contentType = s.text(24)
	r.hasKey = s.into(25, r.key[:])
	r.quota = s.int(26) != 0
	r.notify = s.bytes(27)
	r.record = s.bytes(28)
	r.body = -1
	if !s.null(29) {
		r.body = s.int(29)
	}
	if !good || r.Status < store.Active || r.Status > store.Deleted || r.Retrievals < 0 || r.MaxRetrievals < 0 || r.size < 0 ||
		r.Status != store.Active && r.Ended == store.Never {
		return fmt.Errorf("%w: kubbi %d: %w", store.ErrDamaged, r.number, errRow)
	}
	return nil
}

// kubbi is the row as callers see it.
func (r *row) kubbi() store.Kubbi {
	k := r.bare()
	if r.Status == store.Active {
		k.Notify, k.Secret, k.Record = r.notify, r.secret, r.record
	}
	return k
}

// bare is the row without what a tombstone has no more.
func (r *row) bare() store.Kubbi {
	return store.Kubbi{
		ID:               r.id.String(),
		Owner:            r.owner,
		Token:            store.Token{Number: r.number, Hash: r.hash},
		MasterKey:        r.masterKey,
		Package:          r.pkg,
		ContentType:      r.contentType,
		FileCount:        r.fileCount,
		Size:             r.size,
		MaxRetrievals:    r.MaxRetrievals,
		Retrievals:       r.Retrievals,
		FirstRetrievedAt: r.First.Time(),
		LastRetrievedAt:  r.Last.Time(),
		Status:           r.Status,
		CreatedAt:        r.created.Time(),
		ExpiresAt:        r.Expires.Time(),
		EndedAt:          r.Ended.Time(),
	}
}

// find reads the row with a number, by a statement over columns.
func (r *row) find(s *stmt, n store.Number) error {
	s.bindInt(1, int64(n))
	ok, err := s.step()
	if err != nil {
		return err
	}
	if !ok {
		return store.ErrNotFound
	}
	defer s.reset()
	return r.scan(s)
}

// byToken reads the row of a token, all of which must be right.
func (r *row) byToken(s *stmt, t store.Token) error {
	err := r.find(s, t.Number)
	if err == nil && r.hash != t.Hash {
		err = store.ErrNotFound
	}
	return err
}

// byID reads the owner's row with an id.
func (r *row) byID(s *stmt, owner, id string) error {
	u, n, err := store.ParseID(id)
	if err != nil {
		return store.ErrNotFound
	}
	err = r.find(s, n)
	if err == nil && (r.id != u || r.owner != owner) {
		err = store.ErrNotFound
	}
	return err
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
