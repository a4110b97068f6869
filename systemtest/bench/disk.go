//go:build linux

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// disk: how fast a small write is made durable, which every durable figure
// rests on. It differs by a factor of ten from one machine and hour to the next.
func (s *suite) disk() error {
	f, err := os.Create(filepath.Join(s.dir, "disk"))
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, 8<<10)
	write := func(at int, sync func() error) (float64, error) {
		begin := time.Now()
		if _, err := f.WriteAt(page, int64(at)*int64(len(page))); err != nil {
			return 0, err
		}
		err := sync()
		return time.Since(begin).Seconds(), err
	}
	const ring = 128
	var over, grow series
	for range s.rounds + 1 {
		var o, g []float64
		for i := range 100 {
			t, err := write(i%ring, func() error { return syscall.Fdatasync(int(f.Fd())) })
			if err != nil {
				return err
			}
			o = append(o, t)
		}
		for i := range 100 {
			t, err := write(ring+i, f.Sync)
			if err != nil {
				return err
			}
			g = append(g, t)
		}
		over, grow = append(over, median(o)), append(grow, median(g))
		if err := f.Truncate(ring * int64(len(page))); err != nil {
			return err
		}
	}
	over, grow = over[1:], grow[1:] // the first round makes the file
	s.rows = append(s.rows, row{
		what:   "disk: write 8 KB over and fdatasync; append 8 KB and fsync",
		anchor: millis(median(over)) + "; " + millis(median(grow)), builds: make([]string, len(s.builds)),
	})
	return nil
}
