package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
	"kubbi-mcp/tools/consent"
	"kubbi-mcp/tools/files"
)

// caps is what the client of a call can be asked for, and how.
type caps struct {
	modern bool // by an answer, as since 2026-07-28; else by a request
	roots  bool
	forms  bool // elicitation
}

func capsOf(ctx context.Context, session *session) caps {
	c := session.GetClientCapabilities()
	modern := mcpserver.IsModernRequest(ctx)
	if modern {
		c = mcp.ClientCapabilities{}
		if info := mcpserver.RequestProtocolInfoFromContext(ctx); info.ClientCapabilities != nil {
			c = *info.ClientCapabilities
		}
	}
	forms := c.Elicitation != nil && (c.Elicitation.Form != nil || c.Elicitation.URL == nil)
	return caps{modern: modern, roots: c.Roots != nil, forms: forms}
}

// maxQuestions is about how many folders the user is asked for one call, and by
// requests, at once.
const maxQuestions = 3

// folders says which folders a call may use beside those of the configuration:
// the roots that the client offers, and those that its user has allowed, now or
// before. The user is asked only about a folder that is outside all others. Only a
// client over stdio has folders of this machine, as far as we know.
func (s *Server) folders(ctx context.Context, req mcp.CallToolRequest, need tools.Need) (tools.Grant, error) {
	session := sessionOf(ctx)
	if session == nil || session.Transport() != transport.Stdio {
		return tools.Grant{}, nil
	}
	c, in := capsOf(ctx, session), req.Params.MultiRoundTripParams
	offered, ask := s.offered(ctx, session, c, in)
	if ask {
		return tools.Grant{Ask: mcpserver.NewInputRequestBuilder(askedState).Roots(rootsID).ToolResult()}, nil
	}
	g := tools.Grant{Folders: offered}
	if s.consents == nil {
		return g, nil
	}
	rules := s.files.With(offered...)
	project := s.project
	if len(offered) > 0 {
		project = offered[0].Real()
	}
	var open []*question
	for _, path := range need.Paths {
		if rules.Covers(path) {
			continue
		}
		candidate, ok := rules.Candidate(path, need.Access == consent.Write)
		if !ok {
			continue // the rules say why not
		}
		q := &question{candidate: candidate, path: path, tool: need.Tool, access: need.Access, project: project}
		if !s.allowed(session, q) {
			if !slices.ContainsFunc(open, func(o *question) bool { return o.key() == q.key() }) {
				open = append(open, q)
			}
			continue
		}
		f, err := q.folder()
		if err != nil {
			return tools.Grant{}, err
		}
		g.Folders, rules = append(slices.Clip(g.Folders), f), rules.With(f)
	}
	if len(open) == 0 || !c.forms || project == "" || !session.questions.canAsk() {
		return g, nil
	}
	if len(open) > maxQuestions {
		return tools.Grant{}, files.Refusal(fmt.Sprintf("the paths are in %d folders that are not allowed, and your user is asked about %d at most for one call: make several calls", len(open), maxQuestions))
	}
	if c.modern {
		if ask, err := s.askByAnswer(session, open, in); ask != nil || err != nil {
			return tools.Grant{Ask: ask}, err
		}
	} else if err := s.askByRequest(ctx, session, open); errors.Is(err, errNotAsked) {
		return g, nil
	} else if err != nil {
		return tools.Grant{}, err
	}
	for _, q := range open {
		f, err := q.folder()
		if err != nil {
			return tools.Grant{}, err
		}
		g.Folders = append(slices.Clip(g.Folders), f)
	}
	return g, nil
}

// allowed reports whether the user has allowed what a question asks for.
func (s *Server) allowed(session *session, q *question) bool {
	if session.questions.isGiven(q) {
		return true
	}
	ok, err := s.consents.Allows(q.candidate.Real, q.access, q.project)
	if err != nil {
		s.log.Warn("which folders the user has allowed is not known", "error", err)
	}
	return ok
}

// askedState tells a call that comes again, with or without the answers, from a
// new one.
const askedState = "kubbi-folders"

// consentWait is how long a call waits for the user. Hosts give a call a minute;
// an answer that comes later is for the next call.
const consentWait = 50 * time.Second

// errNotAsked says that the host answers with an error in place of the user's word.
var errNotAsked = errors.New("the host does not ask its user")

// askByRequest asks the user about folders, one after the other. It gives nil when
// all are allowed.
func (s *Server) askByRequest(ctx context.Context, session *session, open []*question) error {
	for _, q := range open {
		p, mine, err := session.questions.ask(q)
		if err != nil {
			return err
		}
		if mine {
			answers := session.Request(mcp.MethodElicitationCreate, q.form())
			go func() { // until the user answers or the session ends
				select {
				case a := <-answers:
					s.decide(session, p, readDecision(a))
				case <-session.Context().Done():
				}
			}()
		}
		timer := time.NewTimer(p.patience())
		select {
		case <-p.done:
		case <-ctx.Done():
			err = ctx.Err()
		case <-timer.C:
			p.overdue.Store(true)
			err = files.Refusal(fmt.Sprintf("%q: your user has not said yet whether the folder %q may be used. Tell them, and call again when they have", q.path, q.candidate.Real))
		}
		timer.Stop()
		if err != nil {
			return err
		}
		switch {
		case p.failed:
			return errNotAsked
		case !p.allowed:
			return q.refused()
		}
	}
	return nil
}

// askByAnswer gives the answer that asks the user about folders, nil if all have
// been allowed.
func (s *Server) askByAnswer(session *session, open []*question, in mcp.MultiRoundTripParams) (*mcp.CallToolResult, error) {
	b := mcpserver.NewInputRequestBuilder(askedState)
	asked := false
	for _, q := range open {
		id := "folder-" + q.id()
		if answer, ok := mcpserver.InputResponse(in.InputResponses, id); ok {
			p := session.questions.taken(q) // only an answer to what was asked counts
			if p == nil {
				return nil, q.refused()
			}
			if answer.Elicitation == nil {
				_ = answer.DecodeFor(mcp.MethodElicitationCreate)
			}
			s.decide(session, p, decisionOf(answer.Elicitation))
			if !p.allowed {
				return nil, q.refused()
			}
			continue
		}
		if err := session.questions.askAgain(q); err != nil {
			return nil, err
		}
		b.Elicit(id, q.form())
		asked = true
	}
	if !asked {
		return nil, nil
	}
	return b.ToolResult(), nil
}

// decide notes the user's word on a folder, and remembers it if they want that.
func (s *Server) decide(session *session, p *pending, d decision) {
	remembered := false
	if d.allow && d.remember {
		err := s.consents.Add(consent.Consent{Folder: p.candidate.Real, Access: p.access, Project: p.project, AllowedAt: time.Now()})
		if err != nil {
			s.log.Warn("that the user allows a folder is remembered for this session only", "error", err)
		}
		remembered = err == nil
	}
	if d.failed {
		s.log.Warn("the host says that it has forms for its user, and answers with an error; it is not asked any more")
	} else {
		s.log.Info("the user was asked about a folder", "access", string(p.access), "allowed", d.allow, "remembered", remembered)
	}
	session.questions.decided(p, d, remembered)
}
