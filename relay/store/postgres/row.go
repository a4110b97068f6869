package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"kubbi-mcp/relay/store"
)

// columns are the columns of a row without the payload, in the order of scan.
const columns = `number, id, token, owner, master_key, secret, content_type, package, file_count, size, pieces, max_retrievals,
	created_at, expires_at, status, retrievals, first_at, last_at, ended_at, done, due,
	grace_key, grace_until, coalesce(grace_number, 0), coalesce(grace_at, 0), grace_more,
	key, key_until, record, notify`

// row is a row of the table kubbis.
type row struct {
	store.Row
	pieces int // rows of chunks; 0: the payload is in the row
}

// millis is a store.Millis as a column: a bigint, and NULL for Never.
type millis store.Millis

// ScanInt64 implements pgtype.Int64Scanner.
func (m *millis) ScanInt64(v pgtype.Int8) error {
	*m = millis(store.Never)
	if v.Valid {
		*m = millis(v.Int64)
	}
	return nil
}

// Int64Value implements pgtype.Int64Valuer.
func (m millis) Int64Value() (pgtype.Int8, error) {
	return pgtype.Int8{Int64: int64(m), Valid: m != millis(store.Never)}, nil
}

// at gives a time as a column.
func at(t time.Time) millis { return millis(store.MillisOf(t)) }

// to gives the scan target for a column with a time.
func to(m *store.Millis) *millis { return (*millis)(m) }

// scan reads the columns of a row, and further columns into more.
func (r *row) scan(res pgx.Row, more ...any) error {
	r.Reset()
	var hash, secret, graceKey, createKey []byte
	g := &r.Graces
	err := res.Scan(append([]any{(*int64)(&r.Number), (*[16]byte)(&r.ID), &hash, &r.Owner, &r.MasterKey, &secret, &r.ContentType,
		&r.Package, &r.FileCount, &r.Size, &r.pieces, &r.MaxRetrievals,
		to(&r.Created), to(&r.Expires), &r.Status, &r.Retrievals, to(&r.First), to(&r.Last), to(&r.Ended), &r.Done, to(&r.Due),
		&graceKey, to(&g.InRow.Until), &g.InRow.Number, to(&g.InRow.At), &g.More,
		&createKey, to(&r.KeyUntil), &r.Record, &r.Notify}, more...)...)
	copy(r.Hash[:], hash)
	copy(r.Secret[:], secret)
	copy(g.Key[:], graceKey)
	copy(r.CreateKey[:], createKey)
	r.Sealed = secret != nil
	return err
}

// find queues a query for one row. The query selects columns and those of more. found is set
// if there is a row.
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

// loadGraces reads the graces of a row from the table graces, for a call with that claim key.
func (q *session) loadGraces(ctx context.Context, r *row, key store.Hash) error {
	g := &r.Graces
	if !g.More {
		return nil
	}
	var b pgx.Batch
	b.Queue(`SELECT max(until) FILTER (WHERE key <> $2), max(until) FILTER (WHERE key = $2),
		coalesce(max(number) FILTER (WHERE key = $2), 0), max(at) FILTER (WHERE key = $2)
		FROM graces WHERE kubbi = $1`, int64(r.Number), key[:]).QueryRow(func(res pgx.Row) error {
		return res.Scan(to(&g.Others), to(&g.Mine.Until), &g.Mine.Number, to(&g.Mine.At))
	})
	return q.step(ctx, &b)
}

// wiped are the columns that a wipe overwrites. All keys of the payload are derived from
// the secret, so after that nobody can open the payload with what the table holds. The
// package comment says what remains in PostgreSQL's files, and for how long.
const wiped = `secret = NULL, record = NULL, notify = NULL, payload = NULL, pieces = 0,
	grace_key = NULL, grace_until = NULL, grace_number = NULL, grace_at = NULL, grace_more = false`

// write queues the writes of a row that Claim, Release, Delete or Sweep has changed: its
// notices, its graces and, after Finish, the row itself. It reports whether the row is wiped.
func (r *row) write(b *pgx.Batch, now store.Millis, exact bool) (wipedNow bool, err error) {
	number := int64(r.Number)
	for _, n := range r.Notices() {
		kubbi, err := json.Marshal(n.Kubbi)
		if err != nil {
			return false, err
		}
		b.Queue("INSERT INTO notices (id, due, at, event, attempts, master_key, kubbi) VALUES ($1, $2, $2, $3, 0, $4, $5)",
			n.ID, at(n.At), n.Event, r.MasterKey, kubbi)
	}
	if g := &r.Graces; g.Changed && g.Mine.Until == store.Never {
		b.Queue("DELETE FROM graces WHERE kubbi = $1 AND key = $2", number, g.MineKey[:])
	} else if g.Changed {
		b.Queue(`INSERT INTO graces (kubbi, key, until, number, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (kubbi, key) DO UPDATE SET until = excluded.until, number = excluded.number, at = excluded.at`,
			number, g.MineKey[:], millis(g.Mine.Until), g.Mine.Number, millis(g.Mine.At))
	}
	graces := r.Graces.More
	wipedNow = r.Finish(now, exact)
	const state = "UPDATE kubbis SET status = $2, retrievals = $3, first_at = $4, last_at = $5, ended_at = $6, done = $7, due = $8, "
	args := []any{number, r.Status, r.Retrievals, millis(r.First), millis(r.Last), millis(r.Ended), r.Done, millis(r.Due)}
	if wipedNow {
		if r.pieces > 0 {
			b.Queue("DELETE FROM chunks WHERE kubbi = $1", number)
		}
		if graces {
			b.Queue("DELETE FROM graces WHERE kubbi = $1", number)
		}
		r.pieces = 0
		b.Queue(state+wiped+" WHERE number = $1", args...)
		return true, nil
	}
	var key []byte
	grace := r.Graces.InRow
	if grace.Until == store.Never {
		grace.At = store.Never
	} else {
		key = r.Graces.Key[:]
	}
	b.Queue(state+"grace_key = $9, grace_until = $10, grace_number = $11, grace_at = $12, grace_more = $13 WHERE number = $1",
		append(args, key, millis(grace.Until), grace.Number, millis(grace.At), r.Graces.More)...)
	return false, nil
}
