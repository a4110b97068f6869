// Package sqlite keeps kubbis in one SQLite file that several processes may
// share: the store of the embedded relay.
//
// Open makes the file or brings it up to date. Every change is durable when its
// call returns. Changes of one process that are asked for at the same time
// share a transaction and so a write to disk; processes queue up with a lock on
// a file beside the store. Payloads that are wiped are gone from every file
// within a second, the write-ahead log included.
//
// Beside store.db there are store.db-wal and store.db-shm, which belong to it,
// and store.lock, which is empty.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"kubbi-mcp/relay/store"
)

const (
	pageSize = 4096
	// busyMS is how long SQLite waits for locks that the file lock does not
	// cover, milliseconds.
	busyMS = 5000
	// checkpointMS is that for a checkpoint, which readers may hold up, which
	// all others wait for and which is tried again anyway.
	checkpointMS = 3
	queueLength  = 1024
	// checkpointPages is at how many pages in the log a commit moves them into the
	// data base.
	checkpointPages = 4000
)

// Config says where a store is. Only Path is needed.
type Config struct {
	Path   string       // the file, in a directory that exists; made with mode 0600
	Logger *slog.Logger // nil: nothing is logged
}

// Store is a store.Store in a SQLite file.
type Store struct {
	path    string
	writer  writer
	readers chan *reader // nil for one that is not opened yet

	// calls is held for reading by every call, for writing by Close.
	calls  sync.RWMutex
	closed bool
}

var _ store.Store = (*Store)(nil)

var errLost = errors.New("store has lost a payload or a row that it should have")

// Open makes or opens the store. What it can't open it leaves as it is: see
// ErrNewer, ErrCorrupt, ErrReadOnly, ErrCannotOpen, ErrFull and ErrBusy.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (*Store, error) {
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
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	lock, err := openLock(path)
	if err != nil {
		return nil, err
	}
	c, err := current(ctx, path, lock)
	if err != nil {
		lock.close()
		return nil, err
	}
	s := &Store{path: path}
	s.writer = writer{
		path:  path,
		c:     c,
		lock:  lock,
		scrub: newScrub(logger, leftLog(path)),
		queue: make(chan *op, queueLength),
		stop:  make(chan struct{}),
		gone:  make(chan struct{}),
	}
	// On macOS only fullfsync reaches the disk itself; elsewhere it is nothing.
	err = c.exec("PRAGMA synchronous=FULL; PRAGMA fullfsync=ON; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2000")
	if err == nil {
		c.autoCheckpoint(true)
		err = s.writer.tx.prepare(c)
	}
	if err == nil {
		err = c.gatherLog()
	}
	if err != nil {
		c.close()
		lock.close()
		return nil, explain(path, err)
	}
	n := min(max(2, runtime.GOMAXPROCS(0)), 8)
	s.readers = make(chan *reader, n)
	for range n {
		s.readers <- nil
	}
	go s.writer.loop()
	return s, nil
}

// current opens the writer's connection to a file whose schema is up to date.
func current(ctx context.Context, path string, lock *fileLock) (*conn, error) {
	if _, err := os.Stat(path); err == nil {
		c, err := openConn(path)
		if err != nil {
			return nil, err
		}
		version, err := schemaOf(c, path)
		if err == nil && version == schemaVersion {
			return c, nil
		}
		// Another process may be making the schema right now, and what was read
		// is of before and after: whatever it says is looked at again below.
		c.close()
	}
	wait, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	if err := lock.acquire(wait); err != nil {
		return nil, busy(path, err)
	}
	err := ready(ctx, path)
	if rerr := lock.release(); err == nil && rerr != nil {
		err = rerr
	}
	if err != nil {
		return nil, err
	}
	return openConn(path)
}

// leftLog tells whether there is a write-ahead log: another process is at
// work, or one has left it.
func leftLog(path string) bool {
	info, err := os.Stat(path + logEnding)
	return err == nil && info.Size() > 0
}

// enter starts a call, which leave ends.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.calls.RLock()
	if s.closed {
		s.calls.RUnlock()
		return fmt.Errorf("%s: %w", s.path, ErrClosed)
	}
	return nil
}

func (s *Store) leave() { s.calls.RUnlock() }

// read runs do on a reader of its own.
func (s *Store) read(ctx context.Context, do func(*reader) error) error {
	var q *reader
	select {
	case q = <-s.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.readers <- q }()
	if q == nil {
		var err error
		if q, err = s.openReader(); err != nil {
			return err
		}
	}
	return explain(s.path, do(q))
}

func (s *Store) openReader() (*reader, error) {
	c, err := openConn(s.path)
	if err != nil {
		return nil, err
	}
	q := &reader{}
	err = c.exec("PRAGMA query_only=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2000; PRAGMA wal_autocheckpoint=0")
	if err == nil {
		err = q.prepare(c)
	}
	if err != nil {
		c.close()
		return nil, explain(s.path, err)
	}
	return q, nil
}

// Close waits for running calls, empties the write-ahead log and closes the
// files: see store.Store.
func (s *Store) Close() error {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.writer.stop)
	<-s.writer.gone
	for range cap(s.readers) {
		if q := <-s.readers; q != nil {
			q.c.close()
		}
	}
	s.writer.c.close()
	s.writer.lock.close()
	return nil
}
