//go:build unix

package child

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// notified are the signals that a command gets, and the change of the terminal's size.
var notified = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH}

// catchBrokenPipe makes a write to a closed pipe an error. It would end this process
// otherwise. A signal that is ignored would be ignored by the command, too.
func catchBrokenPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// pass gives the command a signal that this process got.
func (c *Command) pass(s os.Signal) {
	switch {
	case s == syscall.SIGWINCH:
		if c.terminal != nil {
			_ = pty.InheritSize(c.terminal.outer, c.terminal.master)
		}
		return
	case (s == syscall.SIGINT || s == syscall.SIGQUIT) && c.terminal == nil && inForeground():
		return // the terminal has sent it to the command, too
	}
	_ = c.cmd.Process.Signal(s)
}

// inForeground tells whether this process gets the keys of its terminal.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// exitCode is a shell's $? for a command.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// terminal is the command's own terminal.
type terminal struct {
	master *os.File
	outer  *os.File // this process's terminal
	before *term.State
}

// openTerminal makes a terminal of the same size.
func openTerminal(outer *os.File) (master, slave *os.File, err error) {
	master, slave, err = pty.Open()
	if err != nil {
		return nil, nil, err
	}
	_ = pty.InheritSize(outer, master)
	return master, slave, nil
}

// sessionAttributes make the command's standard input its controlling terminal.
func sessionAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Setctty: true}
}

// begin passes every key on, Ctrl-C included. A read that has begun can't be cancelled;
// it ends with the process.
func (t *terminal) begin() {
	if before, err := term.MakeRaw(int(t.outer.Fd())); err == nil {
		t.before = before
	}
	go func() { _, _ = io.Copy(t.master, t.outer) }()
}

// end gives this process's terminal its mode back.
func (t *terminal) end() {
	if t.before != nil {
		_ = term.Restore(int(t.outer.Fd()), t.before)
	}
}
