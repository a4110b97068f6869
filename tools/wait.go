package tools

import (
	"context"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/args"
)

// waitProgressEvery is how often a call that waits reports its progress. Some hosts give up a
// call that is silent for a while.
const waitProgressEvery = 5 * time.Second

// mayWait is an input with wait_seconds.
type mayWait interface{ waits() bool }

func (in getInput) waits() bool     { return in.WaitSeconds > 0 }
func (in inspectInput) waits() bool { return in.WaitSeconds > 0 }

// waiting gives the option for a call that waits some seconds. Until end is called, it reports
// the seconds that have passed.
func waiting(ctx context.Context, seconds args.Int) (option kubbi.ReadOption, end func()) {
	option = kubbi.WithWait(time.Duration(seconds) * time.Second)
	report := progressOf(ctx)
	if report == nil || seconds == 0 {
		return option, func() {}
	}
	start, stop, ended := time.Now(), make(chan struct{}), make(chan struct{})
	report(0, int64(seconds))
	go func() {
		defer close(ended)
		ticker := time.NewTicker(waitProgressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				// Progress that has reached its total would say that the call is done.
				if passed := int64(time.Since(start) / time.Second); passed < int64(seconds) {
					report(passed, int64(seconds))
				}
			case <-stop:
				return
			}
		}
	}()
	return option, func() {
		close(stop)
		<-ended
	}
}
