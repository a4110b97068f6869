package powerloss_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// Of the test below.
const (
	attackGrace = 3 * time.Second // short enough to see graces end
	attackEvery = 1200 * time.Millisecond
	left        = 30 // kubbis that nobody touches
	copiesAfter = 3  // they have expired
	forced      = 3  // kubbis of each kind that every secret of a copy is tried with
)

// TestAttacker copies all files of running relays, again and again. Even with the
// keyring, all claim URLs and all idempotency keys, no kubbi can be opened that ended
// more than a second before the copy was begun. Active kubbis must open, which shows that
// the attack works.
func TestAttacker(t *testing.T) {
	testkit.OnlyCI(t, "waits for kubbis to expire")
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	l := startLoad(ctx, t, dir, "--grace", attackGrace.String())
	machine := watchStalls(ctx)
	before := time.Now()
	if err := l.leave(ctx, left); err != nil {
		t.Fatal(err)
	}
	var over time.Time // when all that nobody touches has expired
	for _, r := range l.all() {
		over = latest(over, r.expires.Add(forgets))
	}
	loading, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.run(loading, workers) }()

	a, err := newAttacker(copyFiles(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	var sum attackTally
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	for after := 0; after < copiesAfter && ctx.Err() == nil; {
		time.Sleep(time.Duration(random.Int64N(int64(attackEvery))))
		at := time.Now()
		copied := copyFiles(t, dir)
		slack := machine.slack(at)
		sum.Slack = max(sum.Slack, slack)
		sum.look(t, a, at, copied, aim(l.all(), attackGrace, before, at, time.Now(), slack, random))
		before = at
		if at.After(over.Add(slack)) {
			after++
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error("load:", err)
	}
	t.Logf("%d kubbis; %+v", len(l.all()), sum)
	if n := sum.Copies; n < 15 || sum.Opened < 5*n || sum.Opened*10 < sum.Young*8 || sum.Active < 5*n || sum.Burned < 20*n || sum.Deleted < 20*n || sum.Expired < left/2 || sum.Graces < 2*n {
		t.Error("too little was looked at")
	}
}

// attackTally counts what the attacker looked at.
type attackTally struct {
	Copies, Bytes          int
	Young, Opened          int // that were new in a copy, and opened
	Active                 int // whose secret is where it should be
	Burned, Deleted        int
	Expired, Graces, Force int
	Slack                  time.Duration // the worst that the machine added to the second
}

// mostYoung is how many new kubbis the attacker opens in one copy. Each costs a search
// through all that is new. Without a bound a slow search would leave more to the next.
const mostYoung = 64

// aims are the kubbis that the attacker looks at in one copy.
type aims struct {
	young  []*record // made since the copy before, and active
	active []*record
	ended  []*record // that nothing may open
	tally  attackTally
}

// aim chooses what to look at in a copy that was begun at an instant, and done at
// another.
func aim(all []*record, grace time.Duration, before, at, done time.Time, slack time.Duration, random *rand.Rand) *aims {
	c := &aims{}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, r := range all {
		k, later := r.knownAt(at, grace), r.knownAt(done, grace)
		switch {
		case !k.created:
		case k.wiped(slack):
			switch {
			case len(c.ended) > 500 && at.Sub(k.last) > 5*time.Second && !k.expired():
				continue
			case k.removed:
				c.tally.Deleted++
			case k.burned():
				c.tally.Burned++
			default:
				c.tally.Expired++
			}
			if !k.removed && len(k.openKeys) > 0 {
				c.tally.Graces++
			}
			c.ended = append(c.ended, r)
		case k.unsure || later.unsure || later.removed || later.burned() || r.expires.Before(done):
		case k.history()[0].begin.After(before):
			if len(c.young) < mostYoung {
				c.young = append(c.young, r)
			}
		case len(c.active) < 50:
			c.active = append(c.active, r)
		}
	}
	return c
}

// look attacks a copy.
func (sum *attackTally) look(t *testing.T, a *attacker, at time.Time, f files, c *aims) {
	t.Helper()
	sum.Copies++
	for _, b := range f {
		sum.Bytes += len(b)
	}
	sum.Young += len(c.young)
	sum.Opened += len(a.try(f, c.young))
	sum.Burned += c.tally.Burned
	sum.Deleted += c.tally.Deleted
	sum.Expired += c.tally.Expired
	sum.Graces += c.tally.Graces
	for _, found := range a.find(f, slices.Concat(c.active, c.ended)) {
		switch r := found.kubbi; {
		case found.what == itsSecret && slices.Contains(c.active, r):
			sum.Active++
		default:
			t.Errorf("copy %d: %s", sum.Copies, found.describe(at, attackGrace))
		}
	}
	if sum.Copies%8 == 0 {
		sum.force(t, a, f, c.ended, false)
		sum.force(t, a, f, c.active, true)
	}
}

// force tries everything with a few kubbis.
func (sum *attackTally) force(t *testing.T, a *attacker, f files, some []*record, opens bool) {
	t.Helper()
	more := forced
	for _, r := range some {
		if a.exposed(r) == nil {
			continue
		}
		if more--; more < 0 {
			return
		}
		sum.Force++
		if got := a.force(f, r); got != opens {
			t.Errorf("of a kubbi of %d bytes, opens with a secret of copy %d: %v", r.size, sum.Copies, got)
		}
	}
}

// copyFiles copies all files of a directory, one after the other.
func copyFiles(t *testing.T, dir string) files {
	t.Helper()
	f := files{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return gone(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return gone(err)
		}
		rel, err := filepath.Rel(dir, path)
		f[filepath.ToSlash(rel)] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// gone passes over a file that was removed meanwhile.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
