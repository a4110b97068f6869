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

const promptText = "Text to send (not shown; Enter ends it): "

// pasteGap is the pause after which a paste has ended.
const pasteGap = 50 * time.Millisecond

// Escape sequences of bracketed paste, which tells pasted text from typed text.
const (
	pasteOn    = "\x1b[?2004h"
	pasteOff   = "\x1b[?2004l"
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

// clearLine clears the rest of a terminal's line.
const clearLine = "\x1b[K"

// prompt asks for a text at a terminal. It shows the text only if echo is set. It restores
// the terminal's mode before it returns, also if the context ends.
//
// It uses raw mode: in line mode the terminal silently cuts a line at 4095 bytes, and
// after Ctrl-Z it would show what is typed next.
func (a *app) prompt(in *os.File, question string, echo bool) ([]byte, error) {
	out := io.Writer(in)
	if isTerminal(a.stderr) {
		out = a.stderr
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	on, off := pasteOn, pasteOff
	switch a.getenv("TERM") { // unset on Windows, which may show the sequences
	case "", "dumb":
		on, off = "", ""
	}
	defer func() {
		fmt.Fprint(out, off)
		_ = term.Restore(int(in.Fd()), before)
		fmt.Fprintln(out)
	}()
	fmt.Fprint(out, question+on)
	show := func([]byte) {}
	if echo {
		show = func(text []byte) { fmt.Fprint(out, "\r"+question+oneLine(string(text))+clearLine) }
	}
	return readHidden(a.ctx, in, show)
}

// readHidden reads a text from a terminal in raw mode. It reads nothing after it, so that the
// shell gets what the user types ahead. show gets the text so far.
func readHidden(ctx context.Context, in io.Reader, show func([]byte)) ([]byte, error) {
	var text hiddenText
	for !text.ended {
		piece, err := readKeys(ctx, in)
		if ctx.Err() != nil {
			return nil, errPromptInterrupted
		}
		if err := text.add(piece); err != nil {
			drain(in)
			return nil, err
		}
		show(text.text)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the terminal: %w", err)
		}
	}
	return text.result()
}

// readKeys reads what was typed so far, or waits for a key.
func readKeys(ctx context.Context, in io.Reader) ([]byte, error) {
	return interruptible(ctx, func() ([]byte, error) {
		buf := make([]byte, 4096)
		n, err := in.Read(buf)
		return buf[:n], err
	})
}

// drain reads the rest of a paste, which the shell would otherwise run as commands.
func drain(in io.Reader) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), pasteGap)
		_, err := readKeys(ctx, in)
		cancel()
		if err != nil {
			return
		}
	}
}

var (
	errPromptInterrupted = exitError{errors.New("interrupted; nothing was sent"), exitInterrupted}

	errPromptLines   = usagef("more than one line was entered, and nothing was sent: put the text into a file and send that, or pipe it")
	errPromptControl = usagef("a key was pressed that is no character, as an arrow is, and nothing was sent: enter the text again")
	errPromptEmpty   = usagef("nothing to send: nothing was entered")
)

// hiddenText is a text that is typed or pasted at a terminal in raw mode.
type hiddenText struct {
	text    []byte
	escape  []byte // the beginning of an escape sequence
	pasting bool
	cr      bool // the last byte was a carriage return
	ended   bool
}

// add adds what was read.
func (h *hiddenText) add(piece []byte) error {
	for _, b := range piece {
		cr := h.cr
		h.cr = b == '\r'
		var err error
		switch {
		case h.ended:
			// More text in the same piece was pasted, at a terminal without bracketed
			// paste. A program that types may send end of input after the line.
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

// key handles a key that is no character.
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

// sequence handles a byte of an escape sequence. Only those of bracketed paste are
// expected.
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

// result is the text, without the line end of a single line.
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
