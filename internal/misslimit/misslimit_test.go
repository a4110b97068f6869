package misslimit

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestMisses(t *testing.T) {
	l := New[string](3)
	now := time.Now()
	for i := range 3 {
		if wait := l.Miss("a", now.Add(time.Duration(i)*time.Second)); wait != 0 {
			t.Fatalf("miss %d must wait %v", i, wait)
		}
	}
	for after, want := range map[time.Duration]time.Duration{
		10 * time.Second: 50 * time.Second, Window - 1: 1, Window: 0, -1: 0, // the clock was put back
	} {
		if got := l.Wait("a", now.Add(after)); got != want {
			t.Errorf("after %v it must wait %v, want %v", after, got, want)
		}
	}
	if got := l.Miss("a", now.Add(10*time.Second)); got != 50*time.Second {
		t.Errorf("the fourth miss must wait %v", got)
	}
	if l.Wait("b", now) != 0 || l.Miss("b", now) != 0 {
		t.Error("one source pays for another")
	}
	if l.Miss("a", now.Add(Window)) != 0 || l.Wait("a", now.Add(Window)) != 0 {
		t.Error("the window does not end")
	}
	u := New[string](1)
	u.Undo("a")
	if u.Miss("a", now) != 0 || u.Wait("a", now) == 0 {
		t.Error("the limit is not reached")
	}
	if u.Undo("a"); u.Miss("a", now) != 0 || len(u.sources) != 1 {
		t.Error("what was taken back counts")
	}
	none := New[string](0)
	for range 100 {
		if none.Miss("a", now) != 0 || none.Wait("a", now) != 0 {
			t.Fatal("no limit limits")
		}
	}
}

// TestRacingMisses has a source miss from many goroutines at once.
func TestRacingMisses(t *testing.T) {
	l := New[string](30)
	now := time.Now()
	var counted atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if l.Miss("a", now) == 0 {
				counted.Add(1)
			}
		})
	}
	wg.Wait()
	if counted.Load() != 30 {
		t.Errorf("%d misses were let through", counted.Load())
	}
}

// TestSourcesAreBounded has more sources miss than are remembered.
func TestSourcesAreBounded(t *testing.T) {
	l := New[int](2)
	now := time.Now()
	for i := range maxSources + 10 {
		l.Miss(i, now)
		l.Miss(i, now)
	}
	if len(l.sources) != maxSources || l.order.Len() != maxSources {
		t.Errorf("%d and %d sources are remembered", len(l.sources), l.order.Len())
	}
	if l.Wait(9, now) != 0 || l.Wait(10, now) != Window {
		t.Error("not the oldest were forgotten")
	}
	// One that misses on does not get older for it.
	l.Miss(10, now)
	l.Miss(0, now)
	if l.Wait(10, now) != 0 {
		t.Error("a repeated miss has made a source younger")
	}
	l.Miss(1, now.Add(Window))
	if len(l.sources) != 1 || l.order.Len() != 1 {
		t.Errorf("%d sources are remembered when their time has passed", len(l.sources))
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "::ffff:203.0.113.7": "203.0.113.7/32",
		"2001:db8:0:1:ffff::2": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Network(netip.MustParseAddr(text)).String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}
