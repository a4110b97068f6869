package powerloss_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/systemtest/powerloss"
)

const firstStarts = 25

// TestPowerLossAtFirstStart takes the power while a relay makes its data
// directory. The next relay starts, whatever is left of that, and works.
func TestPowerLossAtFirstStart(t *testing.T) {
	testkit.OnlyCI(t, "starts fifty relays")
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 4))
	steps := 0                                   // of a first start
	mount(t, powerloss.New(powerloss.Options{})) // skips where that cannot be done
	d := powerloss.New(powerloss.Options{})
	if err := onDisk(ctx, d, "", func(*relay) error { steps = d.Steps(); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range firstStarts {
		s := &loss{number: i, seed: random.Uint64()}
		after := random.IntN(steps)
		var err error
		if s.disk, err = lostAtStart(ctx, after, s.seed); err != nil {
			t.Fatalf("first start %d, until step %d of %d: %v", i, after, steps, err)
		}
		if err := onDisk(ctx, s.disk, "", func(r *relay) error { return works(ctx, r) }); err != nil {
			t.Errorf("first start %d, seed %d, power lost at step %d of %d, %d changes not synced: %v", i, s.seed, after, steps, s.disk.Unsynced(), err)
			s.keep(t)
		}
	}
}

// lostAtStart starts a relay on an empty disk, and gives what a loss of power
// after so many steps leaves.
func lostAtStart(ctx context.Context, after int, seed uint64) (*powerloss.Disk, error) {
	ctx, cancel := context.WithTimeout(ctx, testkit.Patience)
	defer cancel()
	d := powerloss.New(powerloss.Options{})
	wait := d.SnapshotAfter(after, seed)
	var lost *powerloss.Disk
	err := onDisk(ctx, d, "", func(*relay) (err error) {
		lost, _, err = wait(ctx)
		return err
	})
	return lost, err
}

// works makes a key, a kubbi and a claim.
func works(ctx context.Context, r *relay) (err error) {
	if r.key, err = makeKey(ctx, r.dir); err != nil {
		return err
	}
	made, err := r.create(ctx, "it works", 60, nil, "")
	if err != nil {
		return err
	}
	got, err := r.claim(ctx, made.ClaimToken, "")
	if err == nil && (got.status != http.StatusOK || got.content != "it works") {
		err = fmt.Errorf("claim: %d %q", got.status, got.content)
	}
	return err
}
