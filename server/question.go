package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools/consent"
	"kubbi-mcp/tools/files"
)

// question is whether agents may use a folder.
type question struct {
	candidate files.Candidate
	access    consent.Access
	project   string // for which the answer is given
	tool      string // that needs the folder
	path      string // that it was given
}

// key tells questions apart: the answer to one is that to no other.
func (q *question) key() string {
	return string(q.access) + "\x00" + q.candidate.Real + "\x00" + q.project
}

func (q *question) id() string {
	sum := sha256.Sum256([]byte(q.key()))
	return hex.EncodeToString(sum[:8])
}

// form is the question as the user sees it: the folder as it really is, on a line
// of its own.
func (q *question) form() mcp.ElicitationParams {
	what := "read the files in this folder and in those below it, and send them to others"
	if q.access == consent.Write {
		what = "save files into this folder and into those below it"
	}
	return mcp.ElicitationParams{
		Message: fmt.Sprintf("May agents use kubbi-mcp to %s?\n\n%s\n\nAn agent has asked for it with %s. Your answer is for the project %s; kubbi-mcp folders revoke takes it back.",
			what, q.candidate.Real, q.tool, q.project),
		RequestedSchema: map[string]any{
			"type": "object",
			"properties": map[string]any{
				"remember": map[string]any{
					"type":        "boolean",
					"title":       "Remember for this project",
					"description": "Off: only until this session ends.",
					"default":     true,
				},
			},
		},
	}
}

// folder is the one that was allowed, and no other that has taken its place. It is
// made if it is missing.
func (q *question) folder() (files.Folder, error) {
	if q.access == consent.Write {
		if err := os.MkdirAll(q.candidate.Real, 0o700); err != nil {
			return files.Folder{}, files.Refusal(fmt.Sprintf("%q can't be made", q.candidate.Given))
		}
	}
	f, err := files.NewFolder(q.candidate.Given)
	if err != nil || f.Real() != q.candidate.Real {
		return files.Folder{}, files.Refusal(fmt.Sprintf("%q changed while your user was asked about it", q.candidate.Given))
	}
	return f, nil
}

func (q *question) refused() error {
	return files.Refusal(fmt.Sprintf("%q: your user was asked, and has not allowed the folder %q. They won't be asked again in this session: use a folder that is allowed, or ask them what to do", q.path, q.candidate.Real))
}

// decision is what the user has said.
type decision struct {
	allow, remember bool
	failed          bool // the host has not asked
}

func readDecision(a transport.ClientAnswer) decision {
	if a.Err != nil {
		return decision{failed: true}
	}
	var res mcp.ElicitationResult
	if json.Unmarshal(a.Result, &res) != nil {
		return decision{}
	}
	return decisionOf(&res)
}

// decisionOf reads the answer to a form. Whoever accepts it allows the folder.
func decisionOf(res *mcp.ElicitationResult) decision {
	if res == nil || res.Action != mcp.ElicitationResponseActionAccept {
		return decision{}
	}
	d := decision{allow: true, remember: true}
	if content, ok := res.Content.(map[string]any); ok {
		if remember, ok := content["remember"].(bool); ok {
			d.remember = remember
		}
	}
	return d
}

// pending is a question that was asked.
type pending struct {
	*question
	done    chan struct{} // closed when it is answered
	allowed bool          // to be read after that
	failed  bool          // likewise: the host has not asked
	overdue atomic.Bool   // a call has waited for it in vain
}

// patience is how long a call waits for the answer: only the first one does.
func (p *pending) patience() time.Duration {
	if p.overdue.Load() {
		return 0
	}
	return consentWait
}

// questions are those to the user of one session.
type questions struct {
	mu      sync.Mutex
	asked   map[string]*pending // not answered yet
	given   map[string]bool     // allowed for this session alone
	refused map[string]bool
	failed  bool // the host does not ask, whatever it says of itself
}

// Bounds of what a user is asked in a session, so that no agent wears them out.
const (
	maxRefused = 5 // times no; then there are no more questions
	maxGiven   = 1000
)

var errNoMore = files.Refusal("the path is outside the allowed folders, and your user is not asked any more in this session, since they have said no several times")

// canAsk reports whether the host asks its user, as far as is known.
func (qs *questions) canAsk() bool {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	return !qs.failed
}

// isGiven reports whether the folder was allowed for this session.
func (qs *questions) isGiven(q *question) bool {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	return qs.given[q.key()]
}

// ask notes that a question is asked, and reports whether it is by this call: two
// calls that need one folder ask once. It gives an error if it must not be asked.
func (qs *questions) ask(q *question) (p *pending, mine bool, err error) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if p := qs.asked[q.key()]; p != nil {
		return p, false, nil
	}
	if err := qs.mayAsk(q); err != nil {
		return nil, false, err
	}
	if len(qs.asked) >= maxQuestions {
		return nil, false, files.Refusal(fmt.Sprintf("%q: your user is being asked about other folders. Call again when they have answered", q.path))
	}
	return qs.note(q), true, nil
}

// askAgain notes that a question is asked by an answer, which may be lost, so that
// each call asks anew.
func (qs *questions) askAgain(q *question) error {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if err := qs.mayAsk(q); err != nil {
		return err
	}
	if qs.asked[q.key()] == nil {
		qs.note(q)
	}
	return nil
}

func (qs *questions) mayAsk(q *question) error {
	switch {
	case qs.refused[q.key()]:
		return q.refused()
	case len(qs.refused) >= maxRefused || len(qs.asked) >= transport.MaxClientRequests || len(qs.given) >= maxGiven:
		return errNoMore
	}
	return nil
}

func (qs *questions) note(q *question) *pending {
	if qs.asked == nil {
		qs.asked, qs.given, qs.refused = map[string]*pending{}, map[string]bool{}, map[string]bool{}
	}
	p := &pending{question: q, done: make(chan struct{})}
	qs.asked[q.key()] = p
	return p
}

// taken gives a question that was asked and not answered, nil if there is none.
func (qs *questions) taken(q *question) *pending {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	p := qs.asked[q.key()]
	delete(qs.asked, q.key())
	return p
}

// decided notes the answer to a question.
func (qs *questions) decided(p *pending, d decision, remembered bool) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	delete(qs.asked, p.key())
	switch {
	case d.failed:
		qs.failed = true
	case !d.allow:
		qs.refused[p.key()] = true
	case !remembered: // else the file says so, until it is revoked
		qs.given[p.key()] = true
	}
	p.allowed, p.failed = d.allow, d.failed
	close(p.done)
}
