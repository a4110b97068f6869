//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const pathSize = 64 << 20

// noise makes a file of random bytes, and gives its sum.
func noise(path string, size int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.Reader, size)
	return h.Sum(nil), errors.Join(err, f.Close())
}

func sum(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

// parcel is a file that is sent by path and saved.
type parcel struct {
	dir, file string
	size      float64
	sum       []byte
}

func (s *suite) parcel(size int64) (p parcel, err error) {
	if p.dir, err = s.temp("files"); err != nil {
		return p, err
	}
	p.file, p.size = filepath.Join(p.dir, "file.bin"), float64(size)
	p.sum, err = noise(p.file, size)
	return p, err
}

// byPath: a file of 64 MiB, sent by path by one process and saved by another that
// shares its embedded relay; in the open, and sealed.
func (s *suite) byPath() error {
	p, err := s.parcel(pathSize)
	if err != nil {
		return err
	}
	got := map[bool][]way{false: make([]way, len(s.builds)), true: make([]way, len(s.builds))}
	for round := range s.rounds {
		for _, i := range order(len(s.builds), round) {
			b := s.builds[i]
			for _, sealed := range []bool{false, true} {
				if err := s.handOverFile(b, p, sealed, &got[sealed][i]); err != nil {
					return fmt.Errorf("%s, sealed %v: %w", b.name, sealed, err)
				}
			}
		}
	}
	get := func(sealed bool, of func(*way) series) []series {
		var all []series
		for i := range got[sealed] {
			all = append(all, of(&got[sealed][i]))
		}
		return all
	}
	for _, f := range []struct {
		what string
		of   func(*way) series
	}{
		{"send 64 MiB by path, durable", func(w *way) series { return w.send }},
		{"save 64 MiB by path, synced", func(w *way) series { return w.save }},
	} {
		open, sealed := get(false, f.of), get(true, f.of)
		s.add("stdio: "+f.what, "300 MB/s, moonshot 450", megaPerSecond, anchor{}, open...)
		s.add("stdio: "+f.what+", sealed", "", megaPerSecond, anchor{}, sealed...)
		var slower []series
		for i := range open {
			slower = append(slower, quotient(open[i], sealed[i]))
		}
		s.add("stdio: "+f.what+", time sealed against time in the open", "1.25, moonshot 1.1", times, anchor{}, slower...)
	}
	for _, sealed := range []bool{false, true} {
		what := map[bool]string{true: ", sealed"}[sealed]
		s.add("stdio: memory above idle, sending 64 MiB by path"+what, "32 MB", mega, anchor{}, get(sealed, func(w *way) series { return w.sendPeak })...)
		s.add("stdio: memory above idle, saving 64 MiB by path"+what, "32 MB", mega, anchor{}, get(sealed, func(w *way) series { return w.savePeak })...)
	}
	return nil
}

// gigabyte: the memory that a sealed file of 1 GB takes, once.
func (s *suite) gigabyte() error {
	p, err := s.parcel(1_000_000_000)
	if err != nil {
		return err
	}
	var peak, rate []series
	for _, b := range s.builds {
		var w way
		if err := s.handOverFile(b, p, true, &w, "--max-package", "1GiB"); err != nil {
			note("1 GB sealed, %s: %v", b.name, err)
			w = way{}
		} else {
			w.sendPeak[0], w.send[0] = max(w.sendPeak[0], w.savePeak[0]), min(w.send[0], w.save[0])
		}
		peak, rate = append(peak, w.sendPeak), append(rate, w.send)
	}
	s.add("stdio: memory above idle, 1 GB by path, sealed, sent and saved", "32 MB", mega, anchor{}, peak...)
	s.add("stdio: the slower way of 1 GB by path, sealed", "", megaPerSecond, anchor{}, rate...)
	return os.Remove(p.file)
}

// way holds what files on their way cost: bytes in a second, and bytes above idle.
type way struct{ send, save, sendPeak, savePeak series }

// handOverFile has two fresh processes hand a file over, and compares it.
func (s *suite) handOverFile(b build, p parcel, sealed bool, w *way, flags ...string) (err error) {
	h, err := s.home("path")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(h.data)) }()
	var two [2]*agent
	for i := range two {
		a, _, err := s.kubbi(b, h, append(flags, "--allow-dir", p.dir)...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, a.close()) }()
		// The relay opens, and the first calls are the slowest.
		if _, _, err := a.timed("send", map[string]any{"content": "x"}); err != nil {
			return err
		}
		two[i] = a
	}
	measure := func(a *agent, tool string, arguments map[string]any) (got *answer, rate, peak float64, err error) {
		time.Sleep(300 * time.Millisecond)
		before, err := a.memory("VmHWM")
		if err != nil {
			return nil, 0, 0, err
		}
		took, got, err := a.timed(tool, arguments)
		if err != nil {
			return nil, 0, 0, err
		}
		time.Sleep(300 * time.Millisecond)
		after, err := a.memory("VmHWM")
		return got, p.size / took, after - before, err
	}
	got, send, sendPeak, err := measure(two[0], "send_files", map[string]any{
		"files": []any{map[string]any{"path": p.file}}, "max_retrievals": 1, "sealed": sealed})
	if err != nil {
		return err
	}
	out := filepath.Join(p.dir, "out")
	_, save, savePeak, err := measure(two[1], "claim", map[string]any{"claim_url": got.Result.Structured.ClaimURL, "save_to": out})
	if err != nil {
		return err
	}
	saved, err := sum(filepath.Join(out, filepath.Base(p.file)))
	if err == nil && !bytes.Equal(saved, p.sum) {
		err = errors.New("another file was saved")
	}
	w.send, w.save = append(w.send, send), append(w.save, save)
	w.sendPeak, w.savePeak = append(w.sendPeak, sendPeak), append(w.savePeak, savePeak)
	return errors.Join(err, os.RemoveAll(out))
}
