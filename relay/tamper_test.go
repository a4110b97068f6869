package relay_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	zombie "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// harmless are the columns of a kubbi's row that may change an answer, and the members of
// the answer that may differ: docs/security.md, "Who writes the data base". A change of
// any other column must have no effect or be refused.
var harmless = map[string][]string{
	// The answer tells of an end that did not happen, and nothing of payload and record.
	"status":     {"status", "metadata"},
	"expires_at": {"status", "metadata", "expires_at"},
	// Retrievals, and whether a claim is a repeated one.
	"retrievals":   {"retrieval_count", "remaining_reads", "burned"},
	"first_at":     {"first_retrieved_at"},
	"last_at":      {"last_retrieved_at"},
	"grace_key":    {"burned"},
	"grace_until":  {"burned"},
	"grace_number": {"burned"},
}

// rows changes the data base of a relay behind its back.
type rows struct {
	t *testing.T
	c *zombie.Conn
}

func openRows(t *testing.T, dir string) rows {
	t.Helper()
	c, err := zombie.OpenConn(filepath.Join(dir, "kubbi.db"), zombie.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c.SetBusyTimeout(10 * time.Second)
	r := rows{t, c}
	r.exec("PRAGMA synchronous = OFF") // these changes need not survive a loss of power
	return r
}

func (r rows) exec(sql string, args ...any) {
	r.t.Helper()
	if err := sqlitex.Execute(r.c, sql, &sqlitex.ExecOptions{Args: args}); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// value reads a column of a row: nil, int64, string or []byte.
func (r rows) value(column string, number int64) (v any) {
	r.t.Helper()
	err := sqlitex.Execute(r.c, "SELECT "+column+" FROM kubbi WHERE number = ?", &sqlitex.ExecOptions{Args: []any{number}, ResultFunc: func(s *zombie.Stmt) error {
		switch s.ColumnType(0) {
		case zombie.TypeInteger:
			v = s.ColumnInt64(0)
		case zombie.TypeText:
			v = s.ColumnText(0)
		case zombie.TypeBlob:
			b := make([]byte, s.ColumnLen(0))
			s.ColumnBytes(0, b)
			v = b
		}
		return nil
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r rows) columns() (names []string) {
	r.t.Helper()
	err := sqlitex.Execute(r.c, "SELECT name FROM pragma_table_info('kubbi')", &sqlitex.ExecOptions{ResultFunc: func(s *zombie.Stmt) error {
		names = append(names, s.ColumnText(0))
		return nil
	}})
	if err != nil || len(names) < 20 {
		r.t.Fatalf("columns: %v, %v", names, err)
	}
	return names
}

// others makes other values for a column.
func others(v, ofAnother any) []any {
	out := []any{nil, ofAnother}
	switch v := v.(type) {
	case nil:
		out = append(out, int64(1), []byte("x"))
	case int64:
		out = append(out, int64(0), int64(1), int64(2), v+1, v-1, -v, v+1000)
	case string:
		out = append(out, "", v+"x")
	case []byte:
		out = append(out, []byte{}, v[:len(v)-1], append(slices.Clone(v), 0))
		for _, at := range []int{0, len(v) / 2, len(v) - 1} {
			flipped := slices.Clone(v)
			flipped[at] ^= 1
			out = append(out, flipped)
		}
	}
	return out
}

// TestTamperedRows changes every column of the rows of a package and of a content, one at
// a time. The answer must be what was stored, or a refusal.
func TestTamperedRows(t *testing.T) {
	t.Parallel()
	testkit.OnlyPlain(t, "one request at a time")
	r := newRig(t)
	const more = `"ttl_seconds":3600,"max_retrievals":3,"metadata":{"k":"v"}}`
	for name, body := range map[string]string{
		"package": `{"files":[{"name":"a.txt","content_type":"text/plain","role":"data","content":"payload-a"},{"name":"b.bin","content_type":"a/b","encoding":"base64","content":"AAEC"}],` + more,
		"content": `{"content":"payload-a","content_type":"text/plain",` + more,
	} {
		other := r.create(`{"content":"payload-b","content_type":"text/csv","ttl_seconds":60,"metadata":{"k":"w"}}`, key, keyTwo)
		r.claim(other.ClaimToken, key, keyTwo)
		db := openRows(t, r.Dir)
		n := 0
		fresh := func() (api.CreateResponse, int64, string) {
			n++
			idem := fmt.Sprintf("%s-%d-0123456789-abcdefghi", name, n)
			c := r.create(body, key, idem)
			if a := r.claim(c.ClaimToken, key, keyOne); a.status != 200 {
				t.Fatalf("claim: %d", a.status)
			}
			return c, numberIn(t, c.ClaimToken), idem
		}
		otherNumber := numberIn(t, other.ClaimToken)
		whole, _, _ := fresh()
		claimed := tree(t, r.claim(whole.ClaimToken).body)
		for _, column := range db.columns() {
			_, number, _ := fresh()
			values := others(db.value(column, number), db.value(column, otherNumber))
			db.exec("DELETE FROM kubbi WHERE number = ?", number)
			for i, value := range values {
				if !testkit.CI() && (len(column)+i)%3 != 0 {
					continue // a third of the changes is enough outside .ci/run
				}
				c, number, idem := fresh()
				if cmp.Equal(value, db.value(column, number)) || column == "number" && value == otherNumber {
					db.exec("DELETE FROM kubbi WHERE number = ?", number)
					continue
				}
				reads := map[string]func() answer{
					"inspect":       func() answer { return r.call("GET", "/r/"+c.ClaimToken+"/inspect", "") },
					"get":           func() answer { return r.call("GET", api.PathKubbi+c.ID, "") },
					"list":          func() answer { return r.call("GET", api.PathKubbis+"?limit=1", "") },
					"create again":  func() answer { return r.call("POST", api.PathKubbis, body, key, idem) },
					"claim again":   func() answer { return r.claim(c.ClaimToken, key, keyOne) },
					"claim":         func() answer { return r.claim(c.ClaimToken) },
					"inspect other": func() answer { return r.call("GET", "/r/"+other.ClaimToken+"/inspect", "") },
				}
				want := map[string]any{"claim": claimed, "claim again": claimed}
				for _, read := range []string{"inspect", "get", "list", "create again", "inspect other"} {
					want[read] = tree(t, reads[read]().body)
				}
				if err := sqlitex.Execute(db.c, "UPDATE kubbi SET "+column+" = ? WHERE number = ?", &sqlitex.ExecOptions{Args: []any{value, number}}); err != nil {
					db.exec("DELETE FROM kubbi WHERE number = ?", number)
					continue // the data base itself refuses it: NOT NULL
				}
				if column == "number" {
					number, _ = value.(int64)
				}
				for _, read := range []string{"inspect", "get", "list", "create again", "claim again", "claim", "inspect other"} {
					at := fmt.Sprintf("%s, %s, change %d (%.40v): %s", name, column, i, value, read)
					a := reads[read]()
					if a.status >= 400 {
						if column == "quota" || column == "notify" {
							t.Errorf("%s: %d", at, a.status)
						}
						continue
					}
					got := tree(t, a.body)
					if read == "create again" && a.status == 201 && got.(map[string]any)["id"] != c.ID {
						db.exec("DELETE FROM kubbi WHERE number = ?", numberIn(t, got.(map[string]any)["claim_token"].(string)))
						continue // the first create is not recognised: this is a new kubbi
					}
					if read == "list" && listedID(got) != c.ID {
						continue // it is not in the list any more
					}
					if diff := cmp.Diff(without(want[read], harmless[column]), without(got, harmless[column])); diff != "" {
						t.Errorf("%s is believed (-want +got):\n%s", at, diff)
					}
				}
				db.exec("DELETE FROM kubbi WHERE number = ?", number)
			}
		}
		t.Logf("%s: %d kubbis", name, n)
	}
}

// numberIn is the number of a claim token.
func numberIn(t *testing.T, token string) int64 {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return int64(binary.BigEndian.Uint64(raw))
}

func listedID(list any) any {
	kubbis := list.(map[string]any)["kubbis"].([]any)
	if len(kubbis) == 0 {
		return nil
	}
	return kubbis[0].(map[string]any)["id"]
}

// without leaves out members of an answer and of the items of a list. The total of a list
// is no member of a kubbi.
func without(v any, members []string) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for name, value := range m {
		if slices.Contains(members, name) || name == "pagination" {
			continue
		}
		if list, ok := value.([]any); ok && name == "kubbis" {
			var items []any
			for _, item := range list {
				items = append(items, without(item, members))
			}
			value = items
		}
		out[name] = value
	}
	return out
}
