package page

import (
	"io"
	"net/http"
	"time"
)

// Problem is a page without a payload.
type Problem struct {
	Reason Reason
	Back   string        // the claim page; "": there is no way back
	Retry  time.Duration // when another attempt may do better; 0: nobody knows
}

// Reason is why there is nothing to see.
type Reason int

// The reasons.
const (
	Unknown     Reason = iota // no such kubbi
	Expired                   // its time has passed
	Burned                    // retrieved as often as it may be
	Deleted                   // taken back
	Refused                   // the request is not as a browser sends it from our page
	TooMany                   // guesses
	Unavailable               // another attempt may do better
	Failed                    // the relay's fault
)

// words are what a page says of a reason.
type words struct{ Title, Lead, Advice string }

var reasons = map[Reason]words{
	Unknown: {"There is nothing here", "This link leads to nothing that is kept here.",
		"It may be incomplete or mistyped, or it ended so long ago that nobody remembers it. Compare it with the one you were sent, to the last character."},
	Expired: {"Too late", "The time for this link has passed, and what was sent has been erased.",
		"Nobody can open it any more. Ask the sender to send it again."},
	Burned: {"Already opened", "What was sent has been opened as often as it may be, and then erased.",
		"If it was not you who opened it, somebody else had the link: tell the sender at once."},
	Deleted: {"Taken back", "The sender has taken back what was sent, and it has been erased.",
		"Ask the sender if you still need it."},
	Refused: {"That did not come from this page", "Your browser asked in a way that is not allowed here, so nothing was opened and nothing has changed.",
		"Open the link that you were sent, and use the button there."},
	TooMany: {"Too many wrong links", "Many links that do not exist were tried from your network, so nothing is answered for a while.",
		"Nothing was opened. Wait a moment, and try again."},
	Unavailable: {"Not available right now", "What keeps your things can't be reached at the moment.",
		"Try again in a moment. If you have just pressed the button, go back and press it again within a minute: that counts as one time only."},
	Failed: {"Something went wrong", "That is our fault and not yours; the log of the service says more.",
		"Try again. If it stays like this, tell the sender."},
}

// Words are what the page says.
func (p Problem) Words() words { return reasons[p.Reason] }

// Seconds is Retry in whole seconds.
func (p Problem) Seconds() int { return int((p.Retry + time.Second - 1) / time.Second) }

// Write writes the page.
func (p Problem) Write(w io.Writer) error { return pages.ExecuteTemplate(w, "problem", p) }

// SetHeaders sets what goes with the page.
func (p Problem) SetHeaders(h http.Header) { setHeaders(h, "img-src data:; form-action 'none'") }
