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

// question asks the user whether agents may use a folder.
type question struct {
	candidate files.Candidate
	access    consent.Access
	project   string // the answer counts for this project only
	tool      string // the tool that needs the folder
	path      string // the tool's argument
}

// key identifies what the user decides about.
func (q *question) key() string {
	return string(q.access) + "\x00" + q.candidate.Real + "\x00" + q.project
}

func (q *question) id() string {
	sum := sha256.Sum256([]byte(q.key()))
	return hex.EncodeToString(sum[:8])
}

// form is what the user sees: the real path of the folder is on a line of its own.
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

// folder opens the folder that was allowed, and makes it if it is missing. It fails if
// another folder has taken its place.
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

// decision is the user's decision about a folder.
type decision struct {
	allow    bool
	remember bool
	failed   bool // the host has not asked the user
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

// decisionOf reads the answer to a form. A user who accepts it allows the folder.
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

// pending is a question that the user has not answered yet.
type pending struct {
	*question
	done     chan struct{} // closed when the user has answered
	decision decision      // to be read after that
	overdue  atomic.Bool   // a call has waited for the answer and given up
	once     sync.Once     // the first answer counts
}

// timeout is how long a call waits for the answer. Once a call has waited in vain, others
// don't wait.
func (p *pending) timeout() time.Duration {
	if p.overdue.Load() {
		return 0
	}
	return consentTimeout
}

// consentRequests are the questions to the user in one session, and the decisions that
// count for this session only.
type consentRequests struct {
	mu      sync.Mutex
	asked   map[string]*pending
	allowed map[string]bool
	refused map[string]bool
	failed  bool // the host does not ask its user, although it declares that it can
}

// Limits of a session. A user who keeps refusing is left alone.
const (
	maxRefused = 5
	maxAllowed = 1000
)

var errNoMore = files.Refusal("the path is outside the allowed folders, and your user is not asked any more in this session, since they have said no several times")

// canAsk reports whether the host may ask its user.
func (c *consentRequests) canAsk() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.failed
}

// isAllowed reports whether the user has allowed the folder for this session.
func (c *consentRequests) isAllowed(q *question) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allowed[q.key()]
}

// join gives the pending question. If it is the first to ask it, the caller must send
// it to the client: calls that need the same folder ask once.
func (c *consentRequests) join(q *question) (p *pending, first bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.asked[q.key()]; p != nil {
		return p, false, nil
	}
	if err := c.check(q); err != nil {
		return nil, false, err
	}
	if len(c.asked) >= maxQuestions {
		return nil, false, files.Refusal(fmt.Sprintf("%q: your user is being asked about other folders. Call again when they have answered", q.path))
	}
	return c.insert(q), true, nil
}

// add adds a question that is asked in the answer to a call. Each call asks again, since
// the client may not have got the answer.
func (c *consentRequests) add(q *question) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.check(q); err != nil {
		return err
	}
	if c.asked[q.key()] == nil {
		c.insert(q)
	}
	return nil
}

// check returns an error if the user must not be asked. The caller holds mu.
func (c *consentRequests) check(q *question) error {
	switch {
	case c.refused[q.key()]:
		return q.refused()
	case len(c.refused) >= maxRefused || len(c.asked) >= transport.MaxClientRequests || len(c.allowed) >= maxAllowed:
		return errNoMore
	}
	return nil
}

func (c *consentRequests) insert(q *question) *pending {
	if c.asked == nil {
		c.asked, c.allowed, c.refused = map[string]*pending{}, map[string]bool{}, map[string]bool{}
	}
	p := &pending{question: q, done: make(chan struct{})}
	c.asked[q.key()] = p
	return p
}

// find gives the pending question, nil if there is none.
func (c *consentRequests) find(q *question) *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[q.key()]
}

// decided applies the decision about a question.
func (c *consentRequests) decided(p *pending, d decision, remembered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asked, p.key())
	switch {
	case d.failed:
		c.failed = true
	case !d.allow:
		c.refused[p.key()] = true
	case !remembered: // else it is in the file, until it is revoked
		c.allowed[p.key()] = true
	}
	p.decision = d
	close(p.done)
}
