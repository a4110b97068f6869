package keyring

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubbi-mcp/internal/atrest"
)

// DefaultMargin is how long ago a key should have stopped sealing before it is removed. A
// node needs much less time to read a new key and to finish creates under the old one.
const DefaultMargin = 10 * time.Minute

// State says what a key is used for at a time.
type State string

// The states.
const (
	Waiting State = "waiting" // will seal once its time has come
	Sealing State = "sealing" // seals new kubbis
	Opening State = "opening" // opens what it has sealed before
)

// Use is a key and what it is used for.
type Use struct {
	atrest.KeyInfo
	State   State
	Stopped time.Time // when it stopped sealing; zero unless Opening
}

// Uses lists the keys of a keyring and their states at a time, oldest key first.
func Uses(ring *atrest.Keyring, now time.Time) []Use {
	keys := ring.Keys()
	uses := make([]Use, len(keys))
	sealing := ring.Sealing(now)
	var next time.Time // when the first of the later keys began to seal
	for i, k := range slices.Backward(keys) {
		uses[i] = Use{KeyInfo: k}
		begins := k.UseFrom
		if begins.IsZero() {
			begins = k.CreatedAt
		}
		switch {
		case k.ID == sealing:
			uses[i].State = Sealing
		case k.UseFrom.After(now):
			uses[i].State = Waiting
			continue
		default:
			uses[i].State, uses[i].Stopped = Opening, next
		}
		if next.IsZero() || begins.Before(next) {
			next = begins
		}
	}
	return uses
}

// Pruned says what Prune has done with the keys, in JSON as keyring prune prints it.
type Pruned struct {
	Removed []string  `json:"removed"` // their ids
	Kept    []KeptKey `json:"kept"`
}

// KeptKey is a key that Prune did not remove, and why.
type KeptKey struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Prune returns a keyring without the keys that nothing needs any more: those that stopped
// sealing longer than margin before now and that needs does not name. Prune calls needs,
// which asks the store, after now. So the answer includes kubbis that were still being
// created under an old key when the next key took over. If there is nothing to remove,
// left is nil. If the store needs keys that are not in the keyring, it probably belongs
// to another relay, and Prune returns an error.
func Prune(ring *atrest.Keyring, now time.Time, margin time.Duration, needs func() ([]string, error)) (left *atrest.Keyring, report Pruned, err error) {
	needed, err := needs()
	if err != nil {
		return nil, report, fmt.Errorf("ask the store which keys it needs: %w", err)
	}
	if missing := slices.DeleteFunc(slices.Clone(needed), ring.Has); len(missing) > 0 {
		return nil, report, fmt.Errorf("kubbis in the store are sealed under keys that are not in this keyring: %s; is it the keyring of this store?", strings.Join(missing, " "))
	}
	for _, u := range Uses(ring, now) {
		var reason string
		switch until := u.Stopped.Add(margin); {
		case u.State == Sealing:
			reason = "it seals"
		case u.State == Waiting:
			reason = "it will seal from " + u.UseFrom.Format(time.RFC3339)
		case slices.Contains(needed, u.ID):
			reason = "kubbis are sealed under it"
		case until.After(now):
			reason = "it sealed until a short while ago; it may go from " + until.Format(time.RFC3339)
		default:
			report.Removed = append(report.Removed, u.ID)
			if left, err = cmp.Or(left, ring).Without(u.ID); err != nil {
				return nil, report, err
			}
			continue
		}
		report.Kept = append(report.Kept, KeptKey{ID: u.ID, Reason: reason})
	}
	return left, report, nil
}
