package powerloss_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"kubbi-mcp/kubbi/api"
)

// forgets is the time after its end within which a kubbi must be wiped.
const forgets = time.Second

// known is what may be said of a kubbi at an instant, from what the relay has
// acknowledged by then.
type known struct {
	*record
	at        time.Time
	created   bool
	claims    int // counted for sure
	more      int // counted perhaps
	removed   bool
	unsure    bool      // something was asked for that may have been done or not
	last      time.Time // when the last thing was acknowledged
	openKeys  []string  // of claims that were not released
	graceEnd  time.Time // no later than this the grace of the last of them ends
	endedKeys []string  // of claims that were released

	repeatable map[string]time.Time // by open key: until when its claim may be repeated, at least
}

// knownAt gives what is known of a kubbi; grace is how long its relay lets a
// claim be repeated.
func (k *record) knownAt(at time.Time, grace time.Duration) known {
	s := known{record: k, at: at, repeatable: map[string]time.Time{}}
	graces := map[string]time.Time{}
	for _, a := range k.history() {
		sure, maybe := a.by(at), a.maybe(at)
		if sure {
			s.last = a.end
		}
		s.unsure = s.unsure || maybe
		switch {
		case a.kind == create:
			s.created = sure
		case a.kind == remove && sure:
			s.removed = true
		case a.kind == claim && sure:
			s.claims++
			if a.key != "" {
				s.openKeys = append(s.openKeys, a.key)
				graces[a.key] = a.end.Add(grace)
				s.repeatable[a.key] = a.begin.Add(grace)
			}
		case a.kind == claim && maybe:
			s.more++
		case a.kind == release && (sure || maybe):
			s.openKeys = slices.DeleteFunc(s.openKeys, func(key string) bool { return key == a.key })
			if sure {
				s.endedKeys = append(s.endedKeys, a.key)
			}
		}
	}
	for _, key := range s.openKeys {
		if graces[key].After(s.graceEnd) {
			s.graceEnd = graces[key]
		}
	}
	return s
}

// burned says whether the last retrieval was counted for sure.
func (s *known) burned() bool { return s.retrievals > 0 && s.claims == s.retrievals }

// expired says whether the TTL had passed at the instant.
func (s *known) expired() bool { return !s.expires.After(s.at) }

// wiped reports whether the kubbi must be wiped: it and its last grace ended more than a
// second before the instant. slack is a delay of this machine, which is added.
func (s *known) wiped(slack time.Duration) bool {
	return s.created && !s.unsure && s.end().Add(forgets+slack).Before(s.at)
}

// end is when the kubbi must be wiped, if nothing more happens to it.
func (s *known) end() time.Time {
	switch {
	case s.removed:
		return s.last
	case s.burned():
		return latest(s.last, s.graceEnd)
	}
	return latest(s.expires, s.graceEnd)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// check asks a relay whether it still knows what was acknowledged. It claims
// what can be claimed.
func (s *known) check(ctx context.Context, r *relay) error {
	k, err := r.detail(ctx, s.id)
	if err != nil {
		if err == errLost && !s.created {
			return nil
		}
		return err
	}
	if k.RetrievalCount < s.claims || k.RetrievalCount > s.claims+s.more {
		return fmt.Errorf("%d retrievals are counted; %d were acknowledged, %d more were asked for", k.RetrievalCount, s.claims, s.more)
	}
	if s.removed || s.burned() {
		return s.checkEnded(ctx, r, k)
	}
	if time.Until(s.expires) < 3*time.Second {
		if time.Now().After(s.expires) {
			return s.gone(ctx, r, "")
		}
		return nil // it ends while it is looked at
	}
	got, err := r.claim(ctx, s.token, "")
	switch {
	case err != nil:
		return err
	case got.status == http.StatusOK && got.content == s.content():
	case got.status == http.StatusOK:
		return fmt.Errorf("it opens with another content, of %d bytes", len(got.content))
	case got.status == http.StatusGone && (s.unsure || time.Now().After(s.expires)):
		return nil
	default:
		return fmt.Errorf("it is active, and a claim says %d %s", got.status, got.code)
	}
	if left := s.retrievals - k.RetrievalCount; left == 1 { // this claim was the last
		return s.gone(ctx, r, "")
	}
	status, err := r.inspect(ctx, s.token)
	if err == nil && status != http.StatusOK && time.Now().Before(s.expires) {
		err = fmt.Errorf("it is active, and an inspect says %d", status)
	}
	return err
}

// checkEnded looks at a kubbi that was burned or deleted.
func (s *known) checkEnded(ctx context.Context, r *relay, k api.Kubbi) error {
	want := api.StatusBurned
	if s.removed {
		want = api.StatusDeleted
	}
	if k.Status != want {
		return fmt.Errorf("it is %s, and was %s", k.Status, want)
	}
	if err := s.gone(ctx, r, ""); err != nil {
		return err
	}
	for _, key := range s.endedKeys {
		if err := s.gone(ctx, r, key); err != nil {
			return fmt.Errorf("with a released key: %w", err)
		}
	}
	if s.removed || s.unsure {
		return nil
	}
	for _, key := range s.openKeys { // the answer may have been lost
		if time.Until(s.repeatable[key]) < 10*time.Second {
			continue
		}
		got, err := r.claim(ctx, s.token, key)
		if err == nil && (got.status != http.StatusOK || got.content != s.content()) {
			err = fmt.Errorf("the last claim is repeated within its grace: %d %s, %d bytes", got.status, got.code, len(got.content))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// gone fails unless a claim says that the kubbi has ended.
func (s *known) gone(ctx context.Context, r *relay, key string) error {
	got, err := r.claim(ctx, s.token, key)
	if err == nil && got.status != http.StatusGone {
		err = fmt.Errorf("it has ended, and a claim says %d, with %d bytes", got.status, len(got.content))
	}
	return err
}
