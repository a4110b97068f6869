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
	maxOutput   = 64 << 10         // bytes of a command's standard output
	maxRemark   = 500              // bytes of a failed command's standard error, quoted in the error
)

// Command is a program and its arguments, run without a shell. What it writes
// to standard output is the keyring, and is never shown.
type Command []string

// String omits the arguments: one may be a password.
func (c Command) String() string { return "command:" + c[0] }

func (c Command) every() time.Duration { return commandEvery }

func (c Command) text(ctx context.Context) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(limited, c[0], c[1:]...)
	out := &capture{max: maxOutput, tooLong: fmt.Errorf("gave more than %d bytes", maxOutput)}
	said := &capture{max: maxRemark}
	cmd.Stdout, cmd.Stderr = out, said
	cmd.WaitDelay = time.Second // a child of its own may keep the pipes open
	inGroup(cmd)
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		err = fmt.Errorf("did not end within %v", commandTime)
	case len(out.b) > maxOutput:
		err = out.tooLong
	case err == nil:
		return out.b, nil
	}
	if text := strings.TrimSpace(strings.ToValidUTF8(string(said.b), "")); text != "" {
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
