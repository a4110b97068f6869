package main

import (
	"os"
	"path/filepath"
	"time"
)

// disk: what every durable figure here rests on, and differs by a factor of
// ten from one machine and hour to the next: how fast a small write is made
// durable.
func (s *suite) disk() error {
	f, err := os.Create(filepath.Join(s.dir, "disk"))
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, 8<<10)
	var took []time.Duration
	for i := range 200 * s.rounds {
		begin := time.Now()
		if _, err := f.WriteAt(page, int64(i%128)*int64(len(page))); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
	}
	s.add("disk: write and fsync 8 KB", ms(median(took))+", p99 "+ms(percentile(took, .99)), "", "", "")
	return nil
}
