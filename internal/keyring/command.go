package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

const (
	commandTime = 10 * time.Second // for a command to end
	maxOutput   = 64 << 10         // bytes of a command's output
	maxRemark   = 500              // bytes of what a failed command said, in its error
)

// Command is a program and its arguments, run without a shell. What it writes
// to standard output is the keyring, and is never shown.
type Command []string

// String leaves the arguments out: one may be a password.
func (c Command) String() string { return "command:" + c[0] }

func (c Command) every() time.Duration { return commandEvery }

func (c Command) text(ctx context.Context) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(limited, c[0], c[1:]...)
	out, said := &output{max: maxOutput}, &remark{}
	cmd.Stdout, cmd.Stderr = out, said
	cmd.WaitDelay = time.Second // a child of its own may keep the pipes open
	inGroup(cmd)
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		err = fmt.Errorf("did not end within %v", commandTime)
	case out.err != nil:
		err = out.err
	case err == nil:
		return out.b.Bytes(), nil
	}
	if text := said.String(); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return nil, fmt.Errorf("%s: %w", c, err)
}

// output keeps what a command writes, up to a limit.
type output struct {
	b   bytes.Buffer
	max int
	err error
}

func (o *output) Write(b []byte) (int, error) {
	if o.b.Len()+len(b) > o.max {
		o.err = errors.New("gave more than " + fmt.Sprint(o.max) + " bytes")
		return 0, o.err
	}
	return o.b.Write(b)
}

// remark keeps the beginning of what a command says to people.
type remark struct{ b []byte }

func (r *remark) Write(b []byte) (int, error) {
	r.b = append(r.b, b[:min(len(b), maxRemark-len(r.b))]...)
	return len(b), nil
}

func (r *remark) String() string { return strings.TrimSpace(strings.ToValidUTF8(string(r.b), "")) }
