package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const pathSize = 64 << 20

// byPath: a file of 64 MiB, sent by path by one process and saved by another that
// shares its embedded relay; in the open, and sealed.
func (s *suite) byPath() error {
	dir, err := s.temp("files")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "file.bin")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, pathSize)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	var open [2]time.Duration
	for _, sealed := range []bool{false, true} {
		var send, save []time.Duration
		var sendPeak, savePeak []float64
		for i := range s.rounds {
			got, err := s.pathRound(dir, file, filepath.Join(dir, fmt.Sprintf("out-%v-%d", sealed, i)), sealed)
			if err != nil {
				return err
			}
			send, save = append(send, got.send), append(save, got.save)
			sendPeak, savePeak = append(sendPeak, got.sendPeak), append(savePeak, got.savePeak)
		}
		what, ratios := "by path", [2]string{}
		if sealed {
			what = "by path, sealed"
			ratios[0] = ratio(float64(median(send)), float64(open[0]))
			ratios[1] = ratio(float64(median(save)), float64(open[1]))
		}
		versus, speed, peak := "", "at least 100 MB/s", "under 64 MB"
		if sealed {
			versus, speed, peak = "in the open", "at most 1.4", "none set"
		}
		s.add("stdio: send 64 MiB "+what+", durable", rate(median(send)), versus, ratios[0], speed)
		s.add("stdio: save 64 MiB "+what+", synced", rate(median(save)), versus, ratios[1], speed)
		s.add("stdio: peak memory above idle, sending and saving 64 MiB "+what, fmt.Sprintf("%.0f MB, %.0f MB", median(sendPeak), median(savePeak)), "", "", peak)
		open = [2]time.Duration{median(send), median(save)}
	}
	return nil
}

func rate(d time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", pathSize/1e6/d.Seconds())
}

// pathFigures are those of one file on its way.
type pathFigures struct {
	send, save         time.Duration
	sendPeak, savePeak float64 // MB above idle
}

// pathRound has two fresh processes hand a file over.
func (s *suite) pathRound(dir, file, out string, sealed bool) (got pathFigures, err error) {
	data, err := s.temp("path")
	if err != nil {
		return got, err
	}
	a, _, err := s.kubbi(data, "--allow-dir", dir)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	b, _, err := s.kubbi(data, "--allow-dir", dir)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	for _, p := range []*agent{a, b} { // the relay opens, and the first calls are the slowest
		if _, _, err := p.timed("send", map[string]any{"content": "x"}); err != nil {
			return got, err
		}
	}
	idle := func(p *agent) (float64, error) {
		time.Sleep(300 * time.Millisecond)
		return p.memory("VmHWM")
	}
	before, err := idle(a)
	if err != nil {
		return got, err
	}
	took, sent, err := a.timed("send_files", map[string]any{"files": []any{map[string]any{"path": file}}, "max_retrievals": 1, "sealed": sealed})
	if err != nil {
		return got, err
	}
	after, err := idle(a)
	if err != nil {
		return got, err
	}
	got.send, got.sendPeak = took, after-before
	if before, err = idle(b); err != nil {
		return got, err
	}
	if got.save, _, err = b.timed("claim", map[string]any{"claim_url": sent.Result.Structured.ClaimURL, "save_to": out}); err != nil {
		return got, err
	}
	if after, err = idle(b); err != nil {
		return got, err
	}
	got.savePeak = after - before
	return got, os.RemoveAll(out)
}
