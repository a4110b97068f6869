package page

import (
	"io"
	"net/http"
	"time"
)

// Problem is a page without a payload.
type Problem struct {
	Reason Reason
	Back   string        // path of the claim page; "": no link to it
	Retry  time.Duration // when to try again; 0: unknown
}

// Reason is why there is no payload.
type Reason int

// The reasons.
const (
	Failed      Reason = iota // a fault of the relay
	Unavailable               // try again
	TooMany                   // guesses
	Refused                   // the request does not come from our page
	Unknown                   // no such kubbi
	Expired                   // its TTL has passed
	Burned                    // retrieved as often as it may be
	Deleted                   // by its producer
	Answered                  // a request, by somebody
	TimeUp                    // of a request
	Withdrawn                 // a request, by whoever asked
)

// problemText is what the page says about a reason.
type problemText struct{ Title, Lead, Advice string }

var problemTexts = map[Reason]problemText{
	Unknown: {"There is nothing here", "This link leads to nothing that is kept here.",
		"It may be incomplete or mistyped, or it ended so long ago that nobody remembers it. Compare it with the one you were sent, to the last character."},
	Expired: {"Too late", "The time for this link has passed, and what was sent has been erased.",
		"Nobody can open it any more. Ask the sender to send it again."},
	Burned: {"Already opened", "What was sent has been opened as often as it may be, and then erased.",
		"If it was not you who opened it, somebody else had the link: tell the sender at once."},
	Deleted: {"Taken back", "The sender has taken back what was sent, and it has been erased.",
		"Ask the sender if you still need it."},
	Answered: {"Already answered", "This request has been answered, and only the first answer is taken.",
		"If it was not you who answered it, somebody else had the link: tell whoever asked you at once."},
	TimeUp: {"The time is up", "This request can't be answered any more.",
		"Nothing was sent. If what it asked for is still wanted, ask for a new link."},
	Withdrawn: {"Withdrawn", "Whoever asked for something here has withdrawn the request.",
		"Nothing was sent. Ask them if you are not sure."},
	Refused: {"That did not come from this page", "Your browser asked in a way that is not allowed here, so nothing was opened and nothing has changed.",
		"Open the link that you were sent, and use the button there."},
	TooMany: {"Too many wrong links", "Many links that do not exist were tried from your network, so nothing is answered for a while.",
		"Nothing was opened. Wait a moment, and try again."},
	Unavailable: {"Not available right now", "What keeps your things can't be reached at the moment.",
		"Try again in a moment. If you have just pressed the button, go back and press it again within a minute: that counts as one time only."},
	Failed: {"Something went wrong", "That is our fault and not yours; the log of the service says more.",
		"Try again. If it stays like this, tell the sender."},
}

// Text is what the page says.
func (p Problem) Text() problemText { return problemTexts[p.Reason] }

// Seconds is Retry in whole seconds.
func (p Problem) Seconds() int { return int((p.Retry + time.Second - 1) / time.Second) }

// Write writes the page.
func (p Problem) Write(w io.Writer) error { return pages.ExecuteTemplate(w, "problem", p) }

// SetHeaders sets the headers of the page.
func (p Problem) SetHeaders(h http.Header) { setHeaders(h, "img-src data:; form-action 'none'") }
