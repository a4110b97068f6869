package relay

import (
	"testing"
	"time"

	"kubbi-mcp/relay/store"
)

func TestKeyCache(t *testing.T) {
	var c keyCache
	now := time.Now()
	h := store.Hash{1}
	if k, _ := c.get(h, now); k.key != nil {
		t.Error("an empty cache has a key")
	}
	first := c.put(&store.APIKey{Hash: h}, now)
	if again := c.put(&store.APIKey{Hash: h, Owner: "o"}, now); again.rate == nil || again.rate != first.rate {
		t.Error("a key that is read again has another rate meter")
	}
	for _, tc := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {keyCacheTime - 1, true}, {keyCacheTime, false}, {-1, false}} {
		if k, fresh := c.get(h, now.Add(tc.after)); fresh != tc.want || k.key == nil || k.key.Owner != "o" {
			t.Errorf("after %v: %v, fresh is %v", tc.after, k, fresh)
		}
	}
	for i := range 3 * keyCacheSize {
		c.put(&store.APIKey{Hash: store.Hash{byte(i), byte(i >> 8), 2}}, now)
	}
	if len(c.m) > keyCacheSize {
		t.Errorf("the cache holds %d keys", len(c.m))
	}
}
