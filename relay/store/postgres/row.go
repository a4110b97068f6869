package postgres

import (
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"kubbi-mcp/relay/store"
)

// columns are a row's, without its payload, in the order of fields.
const columns = `number, id, token, owner, master_key, secret, content_type, package, file_count, size, pieces, max_retrievals,
	created_at, expires_at, status, retrievals, first_at, last_at, ended_at, done, due,
	grace_key, grace_until, coalesce(grace_number, 0), coalesce(grace_at, 0), grace_more,
	key, key_until, record, notify`

// row is a kubbi as the table has it.
type row struct {
	store.Life
	number                        store.Number
	id                            [16]byte
	owner, masterKey, contentType string
	token, secret                 []byte // secret nil: wiped
	pkg                           bool
	fileCount, pieces             int
	size                          int64
	created, due                  store.Millis
	done                          bool
	graceKey                      []byte // nil: none is in the row
	grace                         store.Grace
	graceMore                     bool // there are more in the table graces
	key                           []byte
	record, notify                []byte

	// Of the table graces, once loadGraces has looked: what the key asked for
	// has there, and when the last one of all others ends.
	mine   store.Grace
	others store.Millis
}

// when is a store.Millis in a column: NULL for Never. It is kept short in the
// code by pgx taking and giving it as a bigint.
type when store.Millis

const never = store.Never

// ScanInt64 implements pgtype.Int64Scanner.
func (w *when) ScanInt64(v pgtype.Int8) error {
	*w = when(never)
	if v.Valid {
		*w = when(v.Int64)
	}
	return nil
}

// Int64Value implements pgtype.Int64Valuer.
func (w when) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: int64(w), Valid: w != when(never)}, nil
}

// at is a time for a column.
func at(t time.Time) when { return when(store.MillisOf(t)) }

// to is where a column of a time is scanned to.
func to(m *store.Millis) *when { return (*when)(m) }

// newRow is one that nothing is known of.
func newRow() row { return row{mine: store.Grace{Until: never}, others: never} }

// fields are where a query over columns, and those of more, scans to.
func (r *row) fields(more ...any) []any {
	return append([]any{(*int64)(&r.number), &r.id, &r.token, &r.owner, &r.masterKey, &r.secret, &r.contentType, &r.pkg, &r.fileCount,
		&r.size, &r.pieces, &r.MaxRetrievals,
		to(&r.created), to(&r.Expires), &r.Status, &r.Retrievals, to(&r.First), to(&r.Last), to(&r.Ended), &r.done, to(&r.due),
		&r.graceKey, to(&r.grace.Until), &r.grace.Number, to(&r.grace.At), &r.graceMore,
		&r.key, to(&r.KeyUntil), &r.record, &r.notify}, more...)
}

// scan reads a row, and columns of more, from an answer.
func (r *row) scan(res pgx.Row, more ...any) error {
	*r = newRow()
	err := res.Scan(r.fields(more...)...)
	r.Sealed = r.secret != nil
	return err
}

// find queues a query over columns, and those of more, for one row, and says
// in found whether there is one.
func (r *row) find(b *pgx.Batch, found *bool, more []any, sql string, args ...any) {
	b.Queue(sql, args...).QueryRow(func(res pgx.Row) error {
		err := r.scan(res, more...)
		*found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
}

// has tells whether it is that of a token.
func (r *row) has(t store.Token) bool { return string(r.token) == string(t.Hash[:]) }

// kubbi is the row as callers see it.
func (r *row) kubbi() store.Kubbi {
	k := r.bare()
	if r.Status == store.Active {
		r.open(&k)
		k.Notify = r.notify
	}
	return k
}

// bare is the row without what a tombstone has no more.
func (r *row) bare() store.Kubbi {
	k := store.Kubbi{
		ID:               uuid.UUID(r.id).String(),
		Owner:            r.owner,
		Token:            store.Token{Number: r.number},
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
	copy(k.Token.Hash[:], r.token)
	return k
}

// open adds Secret and Record.
func (r *row) open(k *store.Kubbi) {
	copy(k.Secret[:], r.secret)
	k.Record = r.record
}
