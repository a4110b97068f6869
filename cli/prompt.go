package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// promptText asks for a text that is not shown.
const promptText = "Text to send (not shown; Enter ends it): "

// pasteGap is after how long without another piece a paste is over.
const pasteGap = 50 * time.Millisecond

// Escape sequences of a terminal that tells what is pasted from what is typed.
const (
	pasteOn    = "\x1b[?2004h"
	pasteOff   = "\x1b[?2004l"
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

// prompt asks for a text at a terminal, once, and does not show it. The terminal
// is as it was before when prompt returns, also when the context ends.
//
// The terminal is in raw mode meanwhile: otherwise it would cut a line at 4095
// bytes without a word, and Ctrl-Z would leave it to show what is typed next.
func (a *app) prompt(in *os.File) ([]byte, error) {
	out := io.Writer(in)
	if isTerminal(a.stderr) {
		out = a.stderr
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	on, off := pasteOn, pasteOff
	switch a.getenv("TERM") { // Windows has none, and may show the sequences
	case "", "dumb":
		on, off = "", ""
	}
	defer func() {
		fmt.Fprint(out, off)
		_ = term.Restore(int(in.Fd()), before)
		fmt.Fprintln(out)
	}()
	fmt.Fprint(out, promptText+on)
	return readHidden(a.ctx, in)
}

// readHidden reads a text from a terminal in raw mode, and nothing behind it: what
// is typed ahead is for the shell.
func readHidden(ctx context.Context, in io.Reader) ([]byte, error) {
	keys := startKeys(in)
	defer close(keys.more)
	var text hiddenText
	for !text.ended {
		keys.more <- struct{}{}
		select {
		case read := <-keys.read:
			if err := text.add(read.piece); err != nil {
				keys.drain()
				return nil, err
			}
			if read.err == io.EOF {
				return text.result()
			}
			if read.err != nil {
				return nil, fmt.Errorf("read the terminal: %w", read.err)
			}
		case <-ctx.Done():
			return nil, errPromptInterrupted
		}
	}
	return text.result()
}

// keys reads a terminal, a piece at a time and when it is asked to. A read that is
// under way can't be called off; it ends with the process.
type keys struct {
	more chan struct{} // asks for a piece; closed in the end
	read chan keysRead
}

type keysRead struct {
	piece []byte
	err   error
}

func startKeys(in io.Reader) *keys {
	k := &keys{more: make(chan struct{}, 1), read: make(chan keysRead, 1)}
	go func() {
		for range k.more {
			buf := make([]byte, 4096)
			n, err := in.Read(buf)
			k.read <- keysRead{buf[:n], err}
		}
	}()
	return k
}

// drain takes the rest of what was pasted, until no more comes: the shell would
// run it as commands.
func (k *keys) drain() {
	for {
		k.more <- struct{}{}
		select {
		case read := <-k.read:
			if read.err != nil {
				return
			}
		case <-time.After(pasteGap):
			return
		}
	}
}

var (
	errPromptInterrupted = interrupted{errors.New("interrupted; nothing was sent")}

	errPromptLines   = usagef("more than one line was entered, and nothing was sent: put the text into a file and send that, or pipe it")
	errPromptControl = usagef("a key was pressed that is no character, as an arrow is, and nothing was sent: enter the text again")
	errPromptEmpty   = usagef("nothing to send: nothing was entered")
)

// hiddenText is what is typed or pasted at a terminal in raw mode.
type hiddenText struct {
	text    []byte
	escape  []byte // an escape sequence that is not complete yet
	pasting bool
	cr      bool // the last byte was a carriage return
	ended   bool
}

// add takes what the terminal gave.
func (h *hiddenText) add(piece []byte) error {
	for _, b := range piece {
		cr := h.cr
		h.cr = b == '\r'
		var err error
		switch {
		case h.ended:
			// What comes in one piece was pasted, and not typed; the terminal does
			// not mark it. End of input follows the line where a program types.
			if b != '\r' && b != '\n' && b != 0 && b != 4 {
				err = errPromptLines
			}
		case len(h.escape) > 0 || b == 0x1b:
			err = h.sequence(b)
		case h.pasting && b == '\n' && cr:
		case h.pasting && (b == '\r' || b == '\n'):
			h.text = append(h.text, '\n')
		case b == '\t' || b >= ' ' && b != 0x7f:
			h.text = append(h.text, b)
		case h.pasting:
			err = errPromptControl
		default:
			err = h.key(b)
		}
		if err == nil && len(h.text) > maxInput {
			err = usagef("what was entered is larger than %s", size(maxInput))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// key does what a key without a character of its own stands for.
func (h *hiddenText) key(b byte) error {
	switch b {
	case '\r', '\n', 0, 4: // Enter; Ctrl-D, which is 0 if it came before raw mode
		h.ended = true
	case 3, 0x1c: // Ctrl-C, Ctrl-\
		return errPromptInterrupted
	case 8, 0x7f: // Backspace
		_, n := utf8.DecodeLastRune(h.text)
		h.text = h.text[:len(h.text)-n]
	case 0x15: // Ctrl-U
		h.text = nil
	default:
		return errPromptControl
	}
	return nil
}

// sequence takes a byte of an escape sequence. Those around what is pasted are
// the only ones that are expected.
func (h *hiddenText) sequence(b byte) error {
	h.escape = append(h.escape, b)
	switch string(h.escape) {
	case pasteBegin:
		h.pasting, h.escape = true, nil
	case pasteEnd:
		h.pasting, h.escape = false, nil
	default:
		if !bytes.HasPrefix([]byte(pasteBegin), h.escape) && !bytes.HasPrefix([]byte(pasteEnd), h.escape) {
			return errPromptControl
		}
	}
	return nil
}

// result is the text. A line end behind a single line was only copied along.
func (h *hiddenText) result() ([]byte, error) {
	text := h.text
	if line := bytes.TrimSuffix(text, []byte("\n")); !bytes.Contains(line, []byte("\n")) {
		text = line
	}
	if len(text) == 0 {
		return nil, errPromptEmpty
	}
	return text, nil
}
