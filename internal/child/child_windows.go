package child

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// notified are the console's events. The console sends them to the command, too.
var notified = []os.Signal{os.Interrupt, syscall.SIGTERM}

func catchBrokenPipe() {}

func isBrokenPipe(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}

func (c *Command) pass(os.Signal) {}

func inForeground() bool { return true }

func exitCode(state *os.ProcessState) int { return state.ExitCode() }

// terminal is never made here: the command's output goes through pipes.
type terminal struct{ master, outer *os.File }

func openTerminal(*os.File) (master, slave *os.File, err error) {
	return nil, nil, errors.ErrUnsupported
}

func sessionAttributes() *syscall.SysProcAttr { return nil }

func (t *terminal) begin() {}

func (t *terminal) end() {}
