package sqlite

import (
	"context"
	"strconv"
	"sync"
	"time"

	"kubbi-mcp/relay/store"
)

// watch is the connection of States. It makes no change itself, so its data version changes
// with every commit of this process and of others. SQLite finds that out without reading a
// page.
type watch struct {
	mu      sync.Mutex
	conn    *conn // nil: not opened yet
	version int64 // of the data, as conn sees it
	mark    store.Mark
}

func (w *watch) close() {
	if w.conn != nil {
		w.conn.close()
		w.conn = nil
	}
}

// States returns the states of kubbis: see store.Store.
func (s *Store) States(ctx context.Context, numbers []store.Number, since store.Mark, now time.Time) ([]store.State, store.Mark, error) {
	if err := s.calls.Enter(ctx); err != nil {
		return nil, 0, err
	}
	defer s.calls.Leave()
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil {
		c, err := s.openReader()
		if err != nil {
			return nil, 0, err
		}
		w.conn = c
		w.mark++ // the versions of two connections can't be compared
	}
	states, err := w.states(numbers, since, store.MillisOf(now))
	if err != nil {
		w.close()
		return nil, 0, explain(s.path, err)
	}
	return states, w.mark, nil
}

func (w *watch) states(numbers []store.Number, since store.Mark, now store.Millis) (states []store.State, err error) {
	version, err := w.conn.number("PRAGMA data_version")
	if err != nil {
		return nil, err
	}
	if version != w.version {
		w.version = version
		w.mark++
	}
	if since == w.mark {
		return nil, nil
	}
	list := make([]byte, 0, 20*len(numbers)+2)
	list = append(list, '[')
	for i, n := range numbers {
		if i > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendInt(list, int64(n), 10)
	}
	list = append(list, ']')
	err = w.conn.rows("SELECT number, status, retrievals, expires_at FROM kubbi WHERE number IN (SELECT value FROM json_each(?))", func(s *stmt) {
		l := store.Life{Status: store.Status(s.int(1)), Expires: store.Millis(s.int(3))}
		l.Expire(now)
		states = append(states, store.State{Number: store.Number(s.int(0)), Status: l.Status, Retrievals: int(s.int(2))})
	}, string(list))
	return states, err
}
