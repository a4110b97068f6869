// Package sqlite keeps kubbis in one SQLite file that several processes may
// share, and in files beside it: the store of the embedded relay.
//
// Open makes the files. Every change is durable when its call returns. Concurrent changes of
// one process share a transaction, and so one sync of the disk (group commit). Processes take
// turns with a lock on a file beside the data base.
//
// Beside kubbi.db there are these files:
//
//	kubbi.db-wal, kubbi.db-shm  SQLite's own
//	kubbi.lock                  the lock; it is empty
//	kubbi.slots                 the secrets of the kubbis
//	kubbi.bodies                a folder with a sealed file for each payload above store.MaxInRow
//	kubbi.spare                 is removed to make room if the disk is full at Open
//
// A secret is only in kubbi.slots. It is written before the row of its kubbi is committed. It
// is overwritten at once after the commit that wipes the row, and this is on the disk within a
// second. What remains of a wiped kubbi (its sealed payload and record in free pages, in the
// write-ahead log and in freed blocks of the disk) can't be opened by anybody.
//
// A full disk stops only creates, which leave some of it free: see fulldisk.go.
//
// A claim counts in store.Row.Claim, which runs in a transaction of the writer (see
// claim.claim). tx.write then writes the row.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/semaphore"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

const (
	pageSize    = 4096
	queueLength = 1024
)

// Config says where a store is. Only Path is needed.
type Config struct {
	Path   string       // the file, in a directory that exists; made with mode 0600
	Logger *slog.Logger // nil: nothing is logged
}

// Store is a store.Store in a SQLite file.
type Store struct {
	path    string
	log     *slog.Logger
	writer  writer
	readers chan *conn // idle connections; nil: not opened yet
	watch   watch
	slots   *body.Slots
	files   *body.Files
	reserve reserve
	orphans orphans
	calls   store.Calls
}

var _ store.Store = (*Store)(nil)

// Open makes or opens the store. It does not change a store that it can't open. Its errors
// match store.ErrNewer, store.ErrOlder, ErrLost, ErrCorrupt, ErrReadOnly, ErrCannotOpen,
// ErrFull or ErrBusy.
//
// When it makes a store, it takes over the API keys of the previous version's store.db in the
// same folder.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.Path == "" {
		return nil, errors.New("no path given")
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, err
	}
	if err := checkLength(path); err != nil {
		return nil, err
	}
	s := &Store{path: path, log: cfg.Logger, reserve: reserve{dir: filepath.Dir(path)}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	lock, err := openLock(path)
	if err != nil {
		return nil, err
	}
	s.writer = writer{
		path:  path,
		lock:  lock,
		log:   s.log,
		bytes: semaphore.NewWeighted(maxQueuedBytes),
		erase: newEraser(),
		house: newHousekeeper(&s.reserve),
		queue: make(chan *op, queueLength),

		patience: stoppedTimer(),
		stop:     make(chan struct{}),
		gone:     make(chan struct{}),
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	wait, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	if err := lock.acquire(wait); err != nil {
		return nil, busy(path, err)
	}
	err = s.openLocked()
	if rerr := lock.release(); err == nil {
		err = rerr
	}
	if err != nil {
		return nil, explain(path, err)
	}
	n := min(max(2, runtime.GOMAXPROCS(0)), 8)
	s.readers = make(chan *conn, n)
	for range n {
		s.readers <- nil
	}
	s.orphans.start(s)
	go s.writer.loop()
	return s, nil
}

// release closes the files.
func (s *Store) release() {
	if s.writer.tx.conn != nil {
		s.writer.tx.close()
	}
	if s.slots != nil {
		s.slots.Close()
	}
	s.writer.lock.close()
}

// Skew is 0: the data is on this machine.
func (s *Store) Skew(ctx context.Context) (time.Duration, error) {
	if err := s.calls.Enter(ctx); err != nil {
		return 0, err
	}
	s.calls.Leave()
	return 0, nil
}

// Close waits for running calls, empties the write-ahead log and closes the
// files: see store.Store.
func (s *Store) Close() error {
	s.calls.Close(func() {
		close(s.writer.stop)
		<-s.writer.gone
		s.orphans.end()
		for range cap(s.readers) {
			if c := <-s.readers; c != nil {
				c.close()
			}
		}
		s.watch.close()
		s.release()
	})
	return nil
}
