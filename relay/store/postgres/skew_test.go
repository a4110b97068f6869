//go:build unix

package postgres_test

import (
	"testing"
	"time"
)

// TestSkew has data bases whose clocks are right, ahead and behind.
func TestSkew(t *testing.T) {
	for _, want := range []time.Duration{0, 10 * time.Minute, -90 * time.Second} {
		s := openStore(t, cluster.Ahead(t, want))
		if got, err := s.Skew(t.Context()); err != nil || (got-want).Abs() > 100*time.Millisecond {
			t.Errorf("skew %v, error %v, want %v", got, err, want)
		}
	}
}
