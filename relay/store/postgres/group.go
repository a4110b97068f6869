package postgres

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

const (
	// groupsAtOnce is how many groups run at once: while one waits for the disk, another
	// executes.
	groupsAtOnce = 4
	maxGroup     = 64
	// groupLocks is how long a group waits for a locked row, which delays the whole
	// group.
	groupLocks = "250ms"
)

// groups commits the jobs of several callers in one transaction (group commit), so that the
// server syncs its disk once for all of them. A job is one statement. Either all jobs of a
// group are committed or none.
type groups struct {
	mu      sync.Mutex
	waiting []*job
	running int
	all     sync.WaitGroup
}

// job is a statement on one kubbi, which may be the whole call.
type job struct {
	number store.Number
	// queue adds the statement to a batch. The statement sets whole if it did what the caller
	// wants. Otherwise it changes nothing.
	queue func(b *pgx.Batch, whole *bool)
	once  bool // a second attempt can't find out whether the first one was committed

	done    chan struct{} // closed after the fields below are set
	whole   bool
	err     error
	unknown bool // see session
}

// runInGroup makes a call with one statement, which it commits together with those of other
// callers. If that is not enough, or fails, it makes the call with alone, as run does.
func (s *Store) runInGroup(ctx context.Context, j *job, alone func(*session) error) error {
	s.commitInGroup(ctx, j)
	switch {
	case j.err == nil && j.whole:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case j.unknown && j.once:
		return storeError(j.err)
	}
	return s.retry(ctx, retryFor, j.unknown, alone)
}

// commitInGroup waits for the result of a job. If there is an error and unknown is false,
// nothing was committed, and the cause may be another job.
//
// Once the job is being sent, commitInGroup waits for the result even if ctx ends, since the
// statement uses the caller's memory.
func (s *Store) commitInGroup(ctx context.Context, j *job) {
	j.done = make(chan struct{})
	g := &s.groups
	g.mu.Lock()
	g.waiting = append(g.waiting, j)
	if g.running < groupsAtOnce {
		g.running++
		g.all.Go(s.commitGroups)
	}
	g.mu.Unlock()
	select {
	case <-j.done:
	case <-ctx.Done():
		if g.withdraw(j) {
			j.err = ctx.Err()
			return
		}
		<-j.done
	}
}

// withdraw removes a job that is not being sent yet.
func (g *groups) withdraw(j *job) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, j)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// next takes the jobs of the next group. It returns nil if none is waiting.
func (g *groups) next() []*job {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	if n == 0 {
		g.running--
		return nil
	}
	jobs := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return jobs
}

// commitGroups commits groups until no job is waiting.
func (s *Store) commitGroups() {
	for jobs := s.groups.next(); jobs != nil; jobs = s.groups.next() {
		unknown, err := s.commitGroup(jobs)
		for _, j := range jobs {
			j.unknown, j.err = unknown, err
			close(j.done)
		}
	}
}

func (s *Store) commitGroup(jobs []*job) (unknown bool, err error) {
	ctx := context.Background() // acquire and step have timeouts
	q, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer q.release(ctx)
	if len(jobs) == 1 {
		var b pgx.Batch
		jobs[0].queue(&b, &jobs[0].whole)
		err = q.apply(ctx, &b)
		return q.unknown, err
	}
	// All groups take locks in the same order, so that there is no deadlock.
	slices.SortFunc(jobs, func(a, b *job) int { return cmp.Compare(a.number, b.number) })
	b := begin()
	b.Queue("SET LOCAL lock_timeout = '" + groupLocks + "'")
	for _, j := range jobs {
		j.queue(b, &j.whole)
	}
	err = q.commit(ctx, b)
	return q.unknown, err
}
