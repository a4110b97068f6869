package keyring

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

const (
	commandTime = 10 * time.Second // in which a command must end
	maxStdout   = 64 << 10         // bytes of a command's standard output
	maxStderr   = 500              // bytes of a failed command's standard error that its error quotes
)

// Command is a program and its arguments, which run without a shell. The program writes
// the keyring to standard output. That output is never shown.
type Command []string

// String leaves out the arguments, since one may be a password.
func (c Command) String() string { return "command:" + c[0] }

func (c Command) every() time.Duration { return commandEvery }

func (c Command) text(ctx context.Context) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(limited, c[0], c[1:]...)
	stdout := &capture{max: maxStdout, tooLong: fmt.Errorf("gave more than %d bytes", maxStdout)}
	stderr := &capture{max: maxStderr}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = time.Second // a child process of the command may keep the pipes open
	inGroup(cmd)
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		err = fmt.Errorf("did not end within %v", commandTime)
	case len(stdout.b) > maxStdout:
		err = stdout.tooLong
	case err == nil:
		return stdout.b, nil
	}
	if text := strings.TrimSpace(strings.ToValidUTF8(string(stderr.b), "")); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return nil, fmt.Errorf("%s: %w", c, err)
}

// capture keeps what a command writes, up to a limit.
type capture struct {
	b       []byte
	max     int
	tooLong error // ends the command; nil: the rest is ignored
}

func (c *capture) Write(p []byte) (int, error) {
	if len(c.b)+len(p) > c.max && c.tooLong != nil {
		c.b = append(c.b, p...)
		return 0, c.tooLong
	}
	c.b = append(c.b, p[:min(len(p), c.max-len(c.b))]...)
	return len(p), nil
}
