//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server that the suite has started.
type process struct {
	cmd   *exec.Cmd
	ended bool
}

// launch starts a program that ends with the part that needs it, and with this
// program however that ends.
func (s *suite) launch(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	s.running = append(s.running, p)
	return p, nil
}

// stop asks the process to end.
func (p *process) stop() error {
	if p.ended {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait()
}

// wait waits until the process ends, and kills it after ten seconds.
func (p *process) wait() error {
	p.ended = true
	late := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	return p.cmd.Wait()
}

// endAll ends what runs, the youngest first.
func (s *suite) endAll() {
	for _, p := range slices.Backward(s.running) {
		_ = p.stop()
	}
	s.running = nil
}

// memory reads a line of /proc/PID/status, in bytes: VmRSS is what is resident
// now, VmHWM the most there ever was.
func (p *process) memory(field string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), field+":")
	if !ok {
		return 0, fmt.Errorf("no %s in status", field)
	}
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb * 1024, err
}

// usage is what processes have used since they began.
type usage struct {
	processor float64 // seconds
	written   float64 // bytes, to file systems
}

func (u usage) since(v usage) usage { return usage{u.processor - v.processor, u.written - v.written} }

// used is the sum of what processes and their descendants have used.
func used(pids ...int) (sum usage, err error) {
	for _, pid := range descendants(pids) {
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil { // the clock of that process's processor time
			return sum, err
		}
		sum.processor += float64(t.Nano()) / 1e9
		io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if err != nil {
			return sum, err
		}
		_, rest, _ := strings.Cut(string(io), "\nwrite_bytes:")
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		if err != nil {
			return sum, err
		}
		sum.written += n
	}
	return sum, nil
}

// descendants gives processes and all that they have started.
func descendants(pids []int) []int {
	children := map[int][]int{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		// After the name, which may hold spaces, come the state and the parent.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	found := slices.Clone(pids)
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found
}

// load is what the processors of the machine have done so far, in seconds.
type load struct{ all, busy, own float64 }

// machine reads the load. What ended processes of the run have used is in own.
func machine() (l load, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return l, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, field := range strings.Fields(line)[1:9] { // user, nice, system, idle, iowait, irq, softirq, steal
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return l, err
		}
		l.all += ticks / 100 // USER_HZ is 100 wherever Go runs
		if i != 3 && i != 4 {
			l.busy += ticks / 100
		}
	}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return l, err
		}
		l.own += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return l, nil
}

// freeAddr gives a loopback address at which nothing listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// await calls ready until it gives no error, for ten seconds at most.
func (s *suite) await(what string, ready func() error) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", what, err)
		}
		select {
		case <-s.ctx.Done():
			return errors.Join(s.ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// diskUse is what a directory takes of its file system, in bytes.
func diskUse(dir string) (float64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st syscall.Stat_t
		if err == nil {
			err = syscall.Lstat(path, &st)
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil // just removed
		}
		sum += st.Blocks * 512
		return err
	})
	return float64(sum), err
}
