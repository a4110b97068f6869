package powerloss_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"kubbi-mcp/systemtest/powerloss"
)

const (
	quietEnds   = 8  // kubbis that are ended each way
	quietLosses = 20 // of power
)

// endQuietly ends kubbis while nothing else happens that could sync what their end
// has written, and takes the power a second later: nothing may open them.
func endQuietly(ctx context.Context, t *testing.T, d *powerloss.Disk, l *load, a *attacker, machine *stalls, random *rand.Rand) {
	t.Helper()
	var ended []*record
	burned, deleted := 0, 0
	for _, r := range l.all() {
		k := r.knownAt(time.Now(), relayGrace)
		if a.exposed(r) == nil || k.unsure || k.removed || k.burned() || time.Until(r.expires) < time.Minute {
			continue
		}
		last := k.retrievals == k.claims+1 && len(k.openKeys) == 0
		var err error
		switch relay := l.relays[random.IntN(len(l.relays))]; {
		case last && burned < quietEnds:
			burned++
			_, err = relay.claim(ctx, r.token, "")
		case !last && deleted < quietEnds:
			deleted++
			err = relay.remove(ctx, r.id)
		default:
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		ended = append(ended, r)
	}
	if len(ended) < 2*quietEnds {
		t.Errorf("only %d kubbis could be ended", len(ended))
	}
	time.Sleep(forgets)
	time.Sleep(machine.slack(time.Now()))
	for range quietLosses {
		seed := random.Uint64()
		for _, found := range a.find(data(d.Snapshot(seed)), ended) {
			t.Errorf("quiet loss, seed %d: %s in %s, of a kubbi of %d bytes", seed, found.what, found.file, found.kubbi.size)
		}
	}
}
