package powerloss_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/systemtest/powerloss"
)

// Of the test below.
const (
	snapshots = 100
	spread    = 68 * time.Second // over which they are taken: kubbis expire meanwhile
	checkers  = 2                // relays that look at snapshots at the same time
	recent    = 2 * time.Second  // all that was done since is looked at
	older     = 25               // kubbis that are looked at besides
	workers   = 6                // callers of the relays at work
	mostWiped = 1000             // kubbis that nothing may open, of each snapshot

	relayGrace = time.Minute // the default of --grace
)

// TestPowerLoss takes the power from two relays at work, a hundred times. A
// fresh relay on what the disk still holds must know all that was acknowledged.
func TestPowerLoss(t *testing.T) {
	testkit.OnlyCI(t, "cuts the power of two relays a hundred times")
	t.Parallel()
	d := powerloss.New(powerloss.Options{})
	dir := filepath.Join(mount(t, d), "data")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	l := startLoad(ctx, t, dir)
	machine := watchStalls(ctx)
	before := time.Now()
	if err := l.leave(ctx, left); err != nil {
		t.Fatal(err)
	}
	loading, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.run(loading, workers) }()

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	a, err := newAttacker(data(d))
	if err != nil {
		t.Fatal(err)
	}
	losses := make(chan *loss)
	var wg sync.WaitGroup
	tallies := make([]tally, checkers)
	for i := range checkers {
		wg.Go(func() {
			for loss := range losses {
				loss.attack(t, a, l, &tallies[i])
				loss.check(ctx, t, l, &tallies[i])
			}
		})
	}
	began := time.Now()
	for i := range snapshots {
		moment := began.Add(spread * time.Duration(i) / snapshots).Add(time.Duration(random.Int64N(int64(spread) / snapshots)))
		time.Sleep(time.Until(moment))
		// The attacker learns the secrets of what is active.
		now := time.Now()
		f := data(d)
		young := aim(l.all(), relayGrace, before, now, time.Now(), 0, random).young
		before = now
		s := &loss{number: i, seed: random.Uint64()}
		s.young, s.opened = len(young), len(a.try(f, young))
		if s.disk, s.at, err = d.SnapshotAfter(random.IntN(40), s.seed)(ctx); err != nil {
			t.Error(err)
			break
		}
		s.slack = machine.slack(s.at)
		losses <- s
	}
	close(losses)
	wg.Wait()
	stop()
	if err := <-ended; err != nil {
		t.Error("load:", err)
	}
	endQuietly(ctx, t, d, l, a, machine, random)
	var sum tally
	for _, tally := range tallies {
		sum.add(tally)
	}
	t.Logf("%d kubbis, %d syncs; looked at %+v", len(l.all()), d.Syncs(), sum)
	if sum.Relays < snapshots || sum.Active < 10*snapshots || sum.Burned < 5*snapshots || sum.Deleted < snapshots || sum.Expired < snapshots/5 || sum.Replays < snapshots || sum.Torn < snapshots/2 ||
		sum.Opened*10 < sum.Young*8 || sum.Wiped < 50*snapshots {
		t.Error("too little was looked at")
	}
}

// TestLyingDiskIsSeen makes sure that the test above can fail: on a disk that
// ignores syncs, what was acknowledged is lost.
func TestLyingDiskIsSeen(t *testing.T) {
	t.Parallel()
	d := powerloss.New(powerloss.Options{})
	dir := filepath.Join(mount(t, d), "data")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l := startLoad(ctx, t, dir)
	d.IgnoreSyncs()
	loading, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	if err := l.run(loading, workers); err != nil {
		t.Fatal("load:", err)
	}
	for seed := range uint64(20) {
		s := &loss{seed: seed, at: time.Now(), disk: d.Snapshot(seed)}
		if err := s.look(ctx, s.disk, l.relays[0].key, s.choose(l.all()), &tally{}); err != nil {
			t.Logf("as it should be: %.200v ...", err)
			return
		}
	}
	t.Error("nothing was lost by a disk that ignores syncs")
}

// tally counts what was looked at.
type tally struct {
	Relays, Active, Burned, Deleted, Expired, Replays, Unsure int

	Torn     int // disks that had changes which were not synced
	Unsynced int // changes that were not

	Young, Opened int // kubbis whose secrets the attacker could learn, and did
	Wiped         int // of which it could be found no more

	Slack time.Duration // the worst that the machine added to the second
}

func (t *tally) add(u tally) {
	t.Relays += u.Relays
	t.Active += u.Active
	t.Burned += u.Burned
	t.Deleted += u.Deleted
	t.Expired += u.Expired
	t.Replays += u.Replays
	t.Unsure += u.Unsure
	t.Torn += u.Torn
	t.Unsynced += u.Unsynced
	t.Young += u.Young
	t.Opened += u.Opened
	t.Wiped += u.Wiped
	t.Slack = max(t.Slack, u.Slack)
}

func (t *tally) count(s *known) {
	switch {
	case s.unsure:
		t.Unsure++
	case s.removed:
		t.Deleted++
	case s.burned():
		t.Burned++
		t.Replays += len(s.openKeys)
	case s.expired():
		t.Expired++
	default:
		t.Active++
	}
}

// loss is a loss of power.
type loss struct {
	number int
	seed   uint64
	at     time.Time
	disk   *powerloss.Disk

	slack         time.Duration
	young, opened int // kubbis that were new, and those that the attacker opened
}

// data gives the files of the data directory on a disk.
func data(d *powerloss.Disk) files {
	f := files{}
	for name, b := range d.Files() {
		f[strings.TrimPrefix(name, "data/")] = b
	}
	return f
}

// attack looks on what is left for what would open a kubbi that had ended more
// than a second before.
func (s *loss) attack(t *testing.T, a *attacker, l *load, sum *tally) {
	f := data(s.disk)
	var wiped []*record
	for _, r := range l.all() {
		if k := r.knownAt(s.at, relayGrace); k.wiped(s.slack) && len(wiped) < mostWiped && a.exposed(r) != nil {
			wiped = append(wiped, r)
		}
	}
	for _, found := range a.find(f, wiped) {
		t.Errorf("loss %d, seed %d: %s", s.number, s.seed, found.describe(s.at, relayGrace))
	}
	sum.Wiped += len(wiped)
	sum.Slack = max(sum.Slack, s.slack)
	sum.Young += s.young
	sum.Opened += s.opened
}

// check starts a relay on what is left, and asks it about what was acknowledged.
// Now and then the power goes again, while it is asked.
func (s *loss) check(ctx context.Context, t *testing.T, l *load, sum *tally) {
	about := s.choose(l.all())
	if err := s.look(ctx, s.disk, l.relays[0].key, about, sum); err != nil {
		t.Errorf("loss %d, seed %d: %v", s.number, s.seed, err)
		s.keep(t)
		return
	}
	if s.number%10 != 0 {
		return
	}
	// The relay claimed what could be claimed, and acknowledged that.
	var about2 []known
	for _, k := range about {
		if k.unsure || k.created && k.expires.Before(time.Now().Add(10*time.Second)) {
			continue
		}
		if !k.removed && !k.burned() {
			k.claims++
			k.last = time.Now()
		}
		about2 = append(about2, k)
	}
	again := s.disk.Snapshot(s.seed + 1)
	if err := s.look(ctx, again, l.relays[0].key, about2, &tally{}); err != nil {
		t.Errorf("loss %d, seed %d, the second time: %v", s.number, s.seed, err)
		s.keep(t)
	}
}

// keep writes a disk to where KUBBI_POWERLOSS_KEEP says.
func (s *loss) keep(t *testing.T) {
	parent := os.Getenv("KUBBI_POWERLOSS_KEEP")
	if parent == "" {
		return
	}
	dir := filepath.Join(parent, fmt.Sprint(s.seed))
	if err := errors.Join(os.MkdirAll(dir, 0o700), s.disk.WriteTo(dir)); err != nil {
		t.Error(err)
	}
}

// choose chooses what to look at.
func (s *loss) choose(all []*record) []known {
	random := rand.New(rand.NewPCG(s.seed, 2))
	var chosen, rest, ended []known
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, r := range all {
		k := r.knownAt(s.at, relayGrace)
		switch {
		case !k.created && !k.unsure:
		case k.unsure || s.at.Sub(k.last) < recent:
			chosen = append(chosen, k)
		case k.expired() && !k.removed && !k.burned() && len(ended) < 8:
			ended = append(ended, k)
		default:
			rest = append(rest, k)
		}
	}
	chosen = append(chosen, ended...)
	return append(chosen, rest[:min(older, len(rest))]...)
}

// look starts a relay on a disk, and asks it.
func (s *loss) look(ctx context.Context, d *powerloss.Disk, key string, about []known, sum *tally) error {
	return onDisk(ctx, d, key, func(r *relay) (err error) {
		sum.Relays++
		if n := d.Unsynced(); n > 0 {
			sum.Torn++
			sum.Unsynced += n
		}
		for i := range about {
			k := &about[i]
			sum.count(k)
			if fault := k.check(ctx, r); fault != nil {
				err = errors.Join(err, fmt.Errorf("kubbi of %d bytes, ttl %d, %d of %d retrievals, unsure %v, removed %v, last touched %s before: %w",
					k.size, k.ttl, k.claims, k.retrievals, k.unsure, k.removed, s.at.Sub(k.last).Round(time.Microsecond), fault))
			}
		}
		return err
	})
}

// harmless is what a relay may say after a loss of power: that it met what was
// not acknowledged.
const harmless = "kubbis that were not acknowledged before a loss of power are removed"

// onDisk mounts a disk, starts a relay on it, uses it, and kills it. Where the
// relay complains in its log, that is an error, but for what is harmless, and for
// a data directory without any API key.
func onDisk(ctx context.Context, d *powerloss.Disk, key string, use func(*relay) error) (err error) {
	dir, err := os.MkdirTemp("", "powerloss-")
	if err != nil {
		return err
	}
	m, err := powerloss.Mount(d, dir)
	if err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), testkit.Patience)
		defer cancel()
		err = errors.Join(err, m.Unmount(end), os.Remove(dir))
	}()
	start, cancel := context.WithTimeout(ctx, testkit.Patience)
	defer cancel()
	r, err := startRelay(start, filepath.Join(dir, "data"), key)
	if err != nil {
		return err
	}
	defer func() {
		for _, line := range r.kill() {
			if !(key == "" && strings.Contains(line, "nobody can create kubbis yet") || strings.Contains(line, harmless)) {
				err = errors.Join(err, fmt.Errorf("the relay complains: %s", line))
			}
		}
	}()
	return use(r)
}
