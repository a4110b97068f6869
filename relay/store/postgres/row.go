package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"kubbi-mcp/relay/store"
)

// columns are a row's, in the order of scan.
const columns = `id, owner, token, master_key, content_type, package, file_count, size, pieces, max_retrievals,
	created_at, expires_at, status, sealed, retrievals, first_at, last_at, ended_at, due,
	grace_key, coalesce(grace_until, 0), coalesce(grace_number, 0), coalesce(grace_at, 0), grace_more,
	key, key_until, files, metadata, notify`

// row is a kubbi as the table has it.
type row struct {
	id                            [16]byte
	owner, masterKey, contentType string
	token                         []byte
	pkg                           bool
	fileCount, pieces             int
	size                          int64
	maxRetrievals, retrievals     int
	created, expires              when
	status                        store.Status
	sealed                        bool
	first, last, ended, due       when
	graceKey                      []byte // nil: none is in the row
	grace                         grace
	graceMore                     bool // there are more in the table grace
	key                           []byte
	keyUntil                      when
	files, metadata, notify       []byte

	// Of the table grace, once loadGraces has looked: what the key asked for
	// has there, and when the last one of all others ends.
	mine   grace
	others when
}

// grace is what is kept of a claim made with a key.
type grace struct {
	until  when
	number int
	at     when
}

// when is a time in milliseconds since 1970, never for NULL. It is kept short
// in the code by pgx taking and giving it as a bigint.
type when int64

// never is before every time.
const never when = -1 << 63

// ScanInt64 implements pgtype.Int64Scanner.
func (w *when) ScanInt64(v pgtype.Int8) error {
	*w = never
	if v.Valid {
		*w = when(v.Int64)
	}
	return nil
}

// Int64Value implements pgtype.Int64Valuer.
func (w when) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: int64(w), Valid: w != never}, nil
}

func ms(t time.Time) when {
	if t.IsZero() {
		return never
	}
	return when(t.UnixMilli())
}

func (w when) time() time.Time {
	if w == never {
		return time.Time{}
	}
	return time.UnixMilli(int64(w)).UTC()
}

// fields are where a query over columns, and those of more, scans to.
func (r *row) fields(more ...any) []any {
	return append([]any{&r.id, &r.owner, &r.token, &r.masterKey, &r.contentType, &r.pkg, &r.fileCount, &r.size, &r.pieces, &r.maxRetrievals,
		&r.created, &r.expires, &r.status, &r.sealed, &r.retrievals, &r.first, &r.last, &r.ended, &r.due,
		&r.graceKey, &r.grace.until, &r.grace.number, &r.grace.at, &r.graceMore,
		&r.key, &r.keyUntil, &r.files, &r.metadata, &r.notify}, more...)
}

// find queues a query over columns for one row, and says in found whether
// there is one.
func (r *row) find(b *pgx.Batch, found *bool, sql string, args ...any) {
	b.Queue(sql, args...).QueryRow(func(res pgx.Row) error {
		*r = row{mine: grace{until: never}, others: never}
		err := res.Scan(r.fields()...)
		*found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
}

// settle makes an Active row whose time has come Expired, as every call is to
// see it, and tells whether it did.
func (r *row) settle(now when) bool {
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
	k := store.Kubbi{
		ID:               uuid.UUID(r.id).String(),
		Owner:            r.owner,
		MasterKey:        r.masterKey,
		Package:          r.pkg,
		ContentType:      r.contentType,
		FileCount:        r.fileCount,
		Size:             r.size,
		MaxRetrievals:    r.maxRetrievals,
		Retrievals:       r.retrievals,
		FirstRetrievedAt: r.first.time(),
		LastRetrievedAt:  r.last.time(),
		Status:           r.status,
		CreatedAt:        r.created.time(),
		ExpiresAt:        r.expires.time(),
		EndedAt:          r.ended.time(),
	}
	copy(k.Token[:], r.token)
	return k
}

// open adds Files and Metadata.
func (r *row) open(k *store.Kubbi) error {
	k.Metadata = r.metadata
	if r.files != nil {
		if err := json.Unmarshal(r.files, &k.Files); err != nil {
			return fmt.Errorf("files of kubbi %s: %w", k.ID, err)
		}
	}
	return nil
}
