package tools

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A call that waits reports the seconds that have passed, and stops with the call.
func TestWaitingReportsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		ctx := WithProgress(t.Context(), func(done, total int64) { got = append(got, fmt.Sprintf("%d/%d", done, total)) })
		_, end := waiting(ctx, 15)
		time.Sleep(14 * time.Second)
		end()
		time.Sleep(time.Minute)
		if want := "[0/15 5/15 10/15]"; fmt.Sprint(got) != want {
			t.Errorf("reported %v, want %s", got, want)
		}
		got = nil
		_, end = waiting(ctx, 0)
		time.Sleep(time.Minute)
		end()
		if got != nil {
			t.Errorf("without a wait: %v", got)
		}
	})
}
