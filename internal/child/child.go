// Package child runs a command as if it were this process: the command gets the standard
// input, the terminal and the signals. Secrets in its output are replaced.
package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"

	"kubbi-mcp/internal/scrub"
)

const (
	chunk = 256 << 10 // bytes of one read of output

	// idleAfterExit is how long the command's own children may be silent after its end
	// before their output is no longer read.
	idleAfterExit = time.Second
)

// Command is a command that has not been started, or runs.
type Command struct {
	cmd      *exec.Cmd
	signals  chan os.Signal
	outputs  []*output
	copied   chan error
	terminal *terminal // nil: the command has none of its own
}

// output is what the command writes, up to the writer that gets it.
type output struct {
	from   *os.File
	to     io.Writer
	exited atomic.Bool // the command has ended
}

// New makes a command. From now on the signals that it is to get do not end this
// process.
func New(path string, args []string) *Command {
	c := &Command{cmd: exec.Command(path), signals: make(chan os.Signal, 16), copied: make(chan error, 2)}
	c.cmd.Args = args
	signal.Notify(c.signals, notified...)
	catchBrokenPipe()
	return c
}

// Stop gives the signals back, where the command is not started after all.
func (c *Command) Stop() { signal.Stop(c.signals) }

// Start starts the command with an environment of NAME=VALUE, and replaces secrets in its
// output. Without secrets the command gets the streams themselves. Otherwise the output goes
// through pipes, or, where stdin and stdout are terminals, through a terminal of the command's
// own, if the platform has them.
func (c *Command) Start(env []string, secrets []scrub.Secret, stdin io.Reader, stdout, stderr io.Writer) error {
	c.cmd.Env = env
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, stdout, stderr
	if len(secrets) == 0 {
		return c.cmd.Start()
	}
	var ours []*os.File // ends of the command, which this process closes
	defer func() {
		for _, f := range ours {
			f.Close()
		}
	}()
	if isTerminal(stdin) && isTerminal(stdout) && inForeground() {
		master, slave, err := openTerminal(stdin.(*os.File))
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("make a terminal for the command: %w", err)
		}
		if err == nil {
			ours = append(ours, slave)
			c.terminal = &terminal{master: master, outer: stdin.(*os.File)}
			c.cmd.Stdin, c.cmd.Stdout = slave, slave
			c.cmd.SysProcAttr = sessionAttributes()
			c.outputs = append(c.outputs, &output{from: master, to: stdout})
		}
	}
	if c.terminal == nil {
		w, err := c.pipe(stdout)
		if err != nil {
			return err
		}
		ours = append(ours, w)
		c.cmd.Stdout = w
	}
	if sameFile(stdout, stderr) {
		c.cmd.Stderr = c.cmd.Stdout // one stream, so that lines keep their order
	} else {
		w, err := c.pipe(stderr)
		if err != nil {
			return err
		}
		ours = append(ours, w)
		c.cmd.Stderr = w
	}
	if err := c.cmd.Start(); err != nil {
		for _, o := range c.outputs {
			o.from.Close()
		}
		return err
	}
	if c.terminal != nil {
		c.terminal.begin()
	}
	for _, o := range c.outputs {
		go func() { c.copied <- o.copy(secrets) }()
	}
	return nil
}

// pipe makes a pipe from the command to a writer, and gives the command's end of it.
func (c *Command) pipe(to io.Writer) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the command's output: %w", err)
	}
	enlarge(w)
	c.outputs = append(c.outputs, &output{from: r, to: to})
	return w, nil
}

// copy copies until the end of the output. If nobody reads it any more, the command gets
// the signal of a closed pipe at its next write.
func (o *output) copy(secrets []scrub.Secret) error {
	defer o.from.Close()
	w := scrub.NewWriter(o.to, secrets)
	buf := make([]byte, chunk)
	for {
		o.limitSilence()
		n, err := o.from.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if err != nil { // the end; of a terminal it is an error
			return w.Close()
		}
	}
}

// Wait passes signals on until the command ends, then calls ended, and waits for the
// rest of the output. It gives the exit code: that of the command, or 128 and the number
// of the signal that ended it. The error says that output was lost.
func (c *Command) Wait(ended func()) (code int, err error) {
	exited := make(chan error, 1)
	go func() { exited <- c.cmd.Wait() }()
	for running := true; running; {
		select {
		case s := <-c.signals:
			c.pass(s)
		case err = <-exited:
			running = false
		}
	}
	ended()
	signal.Stop(c.signals) // the command's output may be waited for: these end this process again
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		err = fmt.Errorf("wait for the command: %w", err)
	} else {
		err = nil
	}
	for _, o := range c.outputs {
		o.exited.Store(true)
		o.limitSilence()
	}
	for range c.outputs {
		if cerr := <-c.copied; cerr != nil && err == nil && !isBrokenPipe(cerr) {
			err = fmt.Errorf("write the command's output: %w", cerr)
		}
	}
	if c.terminal != nil {
		c.terminal.end()
	}
	return exitCode(c.cmd.ProcessState), err
}

// limitSilence ends reading after idleAfterExit, once the command has ended: a process
// that it left behind may hold the pipe open. What is already in the pipe is still read, also
// if the writer is slow.
func (o *output) limitSilence() {
	if o.exited.Load() {
		_ = o.from.SetReadDeadline(time.Now().Add(idleAfterExit)) // where that can't be set, its end is waited for
	}
}

// sameFile tells whether two writers are one file, as after 2>&1.
func sameFile(a, b io.Writer) bool {
	x, ok := a.(*os.File)
	y, also := b.(*os.File)
	if !ok || !also {
		return a == b
	}
	xi, err := x.Stat()
	yi, yerr := y.Stat()
	return err == nil && yerr == nil && os.SameFile(xi, yi)
}

func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
