package powerloss_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/kubbi/api"
)

// act is something that was asked of the relay.
type act struct {
	kind  actKind
	key   string    // of a claim, "" without
	begin time.Time // before the request was sent
	end   time.Time // when the answer was there; zero: not yet
}

type actKind int

const (
	create actKind = iota
	claim
	release
	remove
)

// by says whether the act was acknowledged by then, and maybe whether it may
// have been done all the same.
func (a *act) by(t time.Time) bool    { return !a.end.IsZero() && !a.end.After(t) }
func (a *act) maybe(t time.Time) bool { return !a.by(t) && a.begin.Before(t) }

// record is a kubbi, and all that was done to it. Its acts are done one after
// the other.
type record struct {
	seed       uint64
	size       int
	ttl        int
	retrievals int // 0: unlimited
	id, token  string
	expires    time.Time
	createKey  string

	mu   sync.Mutex
	acts []*act
}

// content is what the kubbi holds: nothing else holds the same.
func (r *record) content() string {
	b := make([]byte, r.size*3/4+3)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(r.seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)[:r.size]
}

// started notes that an act begins; the result notes that it was acknowledged.
func (r *record) started(kind actKind, key string) (done func()) {
	a := &act{kind: kind, key: key, begin: time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acts = append(r.acts, a)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		a.end = time.Now()
	}
}

// history gives a copy of the acts.
func (r *record) history() []act {
	r.mu.Lock()
	defer r.mu.Unlock()
	acts := make([]act, len(r.acts))
	for i, a := range r.acts {
		acts[i] = *a
	}
	return acts
}

// load keeps relays busy, and remembers all that they acknowledged.
type load struct {
	relays []*relay // of one data directory
	pause  time.Duration

	mu      sync.Mutex
	records []*record
	large   time.Time // when the last large kubbi was made
	failed  error
}

// startLoad starts two relays on a data directory, and ends them with the test.
func startLoad(ctx context.Context, t *testing.T, dir string, flags ...string) *load {
	t.Helper()
	l := &load{pause: 80 * time.Millisecond}
	key := ""
	for range 2 {
		r, err := startRelay(ctx, dir, key, flags...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for _, line := range r.kill() {
				t.Log("relay at work: ", line)
			}
		})
		if key == "" {
			if key, err = makeKey(ctx, dir); err != nil {
				t.Fatal(err)
			}
			r.key = key
		}
		l.relays = append(l.relays, r)
	}
	return l
}

// all gives the kubbis so far.
func (l *load) all() []*record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*record(nil), l.records...)
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
}

// run works with so many workers until the context ends.
func (l *load) run(ctx context.Context, workers int) error {
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			var own []*record
			for ctx.Err() == nil {
				time.Sleep(time.Duration(random.Int64N(int64(2*l.pause) + 1)))
				// What has begun is brought to its end: the test waits for no answer twice.
				r := l.relays[random.IntN(len(l.relays))]
				if err := l.work(context.WithoutCancel(ctx), r, random, &own); err != nil {
					l.fail(err)
					return
				}
			}
		})
	}
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// work makes a kubbi, or does something to one of the worker's own.
func (l *load) work(ctx context.Context, r *relay, random *rand.Rand, own *[]*record) error {
	if len(*own) < 5 || random.IntN(3) == 0 {
		ttl := 3600
		if random.IntN(3) == 0 {
			ttl = shortTTL
		}
		k, err := l.create(ctx, r, random, ttl)
		if err == nil {
			*own = append(*own, k)
		}
		return err
	}
	i := random.IntN(len(*own))
	k := (*own)[i]
	ended, err := k.next(ctx, r, random)
	if ended || random.IntN(20) == 0 { // some are left alone
		*own = append((*own)[:i], (*own)[i+1:]...)
	}
	return err
}

// size chooses a size: small, around the border of 256 KiB, or some MiB, of which
// there are few.
func (l *load) size(random *rand.Rand) int {
	switch random.IntN(10) {
	case 0:
		if random.IntN(4) == 0 { // more would make much for the attacker to search
			return 256<<10 - 40 + random.IntN(80)
		}
	case 2:
		l.mu.Lock()
		defer l.mu.Unlock()
		if now := time.Now(); now.Sub(l.large) > 500*time.Millisecond {
			l.large = now
			return 1<<20 + random.IntN(2<<20)
		}
	}
	return 40 + random.IntN(3000)
}

// leave makes kubbis that nobody touches until they expire, as soon as any may.
func (l *load) leave(ctx context.Context, count int) error {
	random := rand.New(rand.NewPCG(0, 8))
	for range count {
		if _, err := l.create(ctx, l.relays[0], random, shortTTL); err != nil {
			return err
		}
	}
	return nil
}

var shortTTL = api.DefaultLimits().MinTTLSeconds

func (l *load) create(ctx context.Context, r *relay, random *rand.Rand, ttl int) (*record, error) {
	k := &record{seed: random.Uint64(), ttl: ttl, retrievals: random.IntN(3), size: l.size(random)}
	if random.IntN(2) == 0 {
		k.createKey = uuid.NewString()
	}
	var retrievals *int
	if k.retrievals > 0 {
		retrievals = &k.retrievals
	}
	content := k.content()
	done := k.started(create, k.createKey)
	made, err := r.create(ctx, content, k.ttl, retrievals, k.createKey)
	done()
	if err != nil {
		return nil, err
	}
	k.id, k.token, k.expires = made.ID, made.ClaimToken, made.ExpiresAt.Time
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, k)
	return k, nil
}

// next does the next thing to a kubbi, and says whether that ended it.
func (k *record) next(ctx context.Context, r *relay, random *rand.Rand) (ended bool, err error) {
	if time.Until(k.expires) < 5*time.Second { // it ends by itself
		return true, nil
	}
	if random.IntN(6) == 0 {
		done := k.started(remove, "")
		err = r.remove(ctx, k.id)
		done()
		return true, err
	}
	key := ""
	if random.IntN(3) > 0 {
		key = uuid.NewString()
	}
	done := k.started(claim, key)
	got, err := r.claim(ctx, k.token, key)
	done()
	if err == nil && (got.status != http.StatusOK || got.content != k.content()) {
		err = fmt.Errorf("a claim of an active kubbi of %d bytes: status %d, %d bytes", k.size, got.status, len(got.content))
	}
	if err == nil && key != "" && random.IntN(4) > 0 {
		done := k.started(release, key)
		err = r.release(ctx, k.token, key)
		done()
	}
	claims := 0
	for _, a := range k.history() {
		if a.kind == claim {
			claims++
		}
	}
	return claims == k.retrievals, err
}
