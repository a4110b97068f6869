package sqlite

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
)

// columns are a row's, in the order of scan.
const columns = `seq, status, payload, retrievals, first_at, last_at, ended_at, due,
	grace_key, grace_until, grace_number, grace_at, grace_more, key_until, removed,
	created_at, expires_at, max_retrievals, package, file_count, size,
	token, id, owner, master_key, content_type, key, files, metadata, quota, notify`

// row is a kubbi as the table has it. Times are milliseconds, never for none.
type row struct {
	seq                                       int64
	status                                    store.Status
	sealed                                    bool
	retrievals, maxRetrievals                 int
	first, last, ended, created, expires, due int64
	graceUntil, graceAt                       int64
	graceNumber                               int
	graceMore                                 bool
	keyUntil, removed                         int64
	pkg                                       bool
	fileCount                                 int
	size                                      int64
	graceKey, token, key                      store.Hash
	hasGrace, hasKey                          bool
	id                                        uuid.UUID
	owner, masterKey, contentType             string
	quota                                     bool // created under a quota of active ones
	files, metadata, notify                   []byte
}

// never stands for NULL in a row's times. It is before every time.
const never = -1 << 63

func ms(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}

func fromMS(v int64) time.Time {
	if v == never {
		return time.Time{}
	}
	return time.UnixMilli(v).UTC()
}

// until is when a grace that starts now ends.
func until(now int64, grace time.Duration) int64 { return now + grace.Milliseconds() }

func prefix(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

func (s *stmt) bindTime(i int, v int64) {
	if v == never {
		s.bindNull(i)
		return
	}
	s.bindInt(i, v)
}

func (s *stmt) time(i int) int64 {
	v := s.int(i)
	if v == 0 && s.null(i) {
		return never
	}
	return v
}

// scan reads the row a statement over columns stands on.
func (r *row) scan(s *stmt) {
	r.seq = s.int(0)
	r.status = store.Status(s.int(1))
	r.sealed = s.int(2) != 0
	r.retrievals = int(s.int(3))
	r.first = s.time(4)
	r.last = s.time(5)
	r.ended = s.time(6)
	r.due = s.time(7)
	r.hasGrace = copy(r.graceKey[:], s.raw(8)) > 0
	r.graceUntil = s.time(9)
	r.graceNumber = int(s.int(10))
	r.graceAt = s.time(11)
	r.graceMore = s.int(12) != 0
	r.keyUntil = s.time(13)
	r.removed = s.time(14)
	r.created = s.int(15)
	r.expires = s.int(16)
	r.maxRetrievals = int(s.int(17))
	r.pkg = s.int(18) != 0
	r.fileCount = int(s.int(19))
	r.size = s.int(20)
	copy(r.token[:], s.raw(21))
	copy(r.id[:], s.raw(22))
	r.owner = s.text(23)
	r.masterKey = s.text(24)
	r.contentType = s.text(25)
	r.hasKey = copy(r.key[:], s.raw(26)) > 0
	r.files = s.bytes(27)
	r.metadata = s.bytes(28)
	r.quota = s.int(29) != 0
	r.notify = s.bytes(30)
}

// settle makes an Active row whose time has come Expired, as every call is to
// see it, and tells whether it did.
func (r *row) settle(now int64) bool {
	if r.status != store.Active || r.expires > now {
		return false
	}
	r.status = store.Expired
	r.ended = r.expires
	return true
}

// kubbi is the row as callers see it.
func (r *row) kubbi() (store.Kubbi, error) {
	k := r.bare()
	if r.status != store.Active {
		return k, nil
	}
	k.Notify = r.notify
	return k, r.open(&k)
}

// bare is the row without what a tombstone has no more.
func (r *row) bare() store.Kubbi {
	return store.Kubbi{
		ID:               r.id.String(),
		Owner:            r.owner,
		Token:            r.token,
		MasterKey:        r.masterKey,
		Package:          r.pkg,
		ContentType:      r.contentType,
		FileCount:        r.fileCount,
		Size:             r.size,
		MaxRetrievals:    r.maxRetrievals,
		Retrievals:       r.retrievals,
		FirstRetrievedAt: fromMS(r.first),
		LastRetrievedAt:  fromMS(r.last),
		Status:           r.status,
		CreatedAt:        fromMS(r.created),
		ExpiresAt:        fromMS(r.expires),
		EndedAt:          fromMS(r.ended),
	}
}

// open adds Files and Metadata.
func (r *row) open(k *store.Kubbi) error {
	k.Metadata = r.metadata
	if r.files != nil {
		if err := json.Unmarshal(r.files, &k.Files); err != nil {
			return fmt.Errorf("files of kubbi %s: %w", r.id, err)
		}
	}
	return nil
}

// find looks for the row with a value that has the prefix: by runs of a
// statement over columns whose only parameter is it.
func (r *row) find(s *stmt, prefix int64, match func(*row) bool) error {
	if err := s.args(0); err != nil {
		return err
	}
	s.bindInt(1, prefix)
	for {
		ok, err := s.step()
		if err != nil {
			return err
		}
		if !ok {
			return store.ErrNotFound
		}
		r.scan(s)
		if r.removed == never && match(r) {
			s.reset()
			return nil
		}
	}
}

func (r *row) byToken(s *stmt, token store.Hash) error {
	return r.find(s, prefix(token[:]), func(r *row) bool { return r.token == token })
}

func (r *row) byID(s *stmt, id uuid.UUID) error {
	return r.find(s, prefix(id[:]), func(r *row) bool { return r.id == id })
}
