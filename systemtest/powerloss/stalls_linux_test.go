package powerloss_test

import (
	"context"
	"sync"
	"time"
)

// stalls measures how long this machine lets programs wait for a processor. A
// relay can keep no promise of a second where it does not get one.
type stalls struct {
	mu   sync.Mutex
	late []stall // of the last seconds
}

type stall struct {
	at  time.Time
	lag time.Duration
}

const (
	stallEvery = 10 * time.Millisecond
	stallKeep  = 10 * time.Second
	stallSince = 3 * time.Second // before the instant that is looked at
	stallTimes = 4               // programs that wait one after the other: sweeper, writer, lock, disk
)

// watchStalls measures until the context ends.
func watchStalls(ctx context.Context) *stalls {
	s := &stalls{}
	go func() {
		for ctx.Err() == nil {
			began := time.Now()
			time.Sleep(stallEvery)
			now := time.Now()
			s.mu.Lock()
			s.late = append(s.late, stall{now, now.Sub(began) - stallEvery})
			for now.Sub(s.late[0].at) > stallKeep {
				s.late = s.late[1:]
			}
			s.mu.Unlock()
		}
	}()
	return s
}

// slack is what a relay may be late by at an instant of the last seconds.
func (s *stalls) slack(at time.Time) (worst time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.late {
		if d := at.Sub(l.at); d > -time.Second && d < stallSince {
			worst = max(worst, l.lag)
		}
	}
	return worst * stallTimes
}
