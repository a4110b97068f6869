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

// abilities says what the client of a call can be asked for, and how.
type abilities struct {
	modern bool // ask in the answer to the call (protocol version 2026-07-28 and later); else with a request
	roots  bool
	forms  bool // elicitation in form mode
	pages  bool // elicitation in URL mode
}

func abilitiesOf(ctx context.Context, session *transport.Session) abilities {
	c := session.GetClientCapabilities()
	modern := mcpserver.IsModernRequest(ctx)
	if modern {
		c = mcp.ClientCapabilities{}
		if info := mcpserver.RequestProtocolInfoFromContext(ctx); info.ClientCapabilities != nil {
			c = *info.ClientCapabilities
		}
	}
	forms := c.Elicitation != nil && (c.Elicitation.Form != nil || c.Elicitation.URL == nil)
	pages := c.Elicitation != nil && c.Elicitation.URL != nil
	return abilities{modern: modern, roots: c.Roots != nil, forms: forms, pages: pages}
}

// maxQuestions is how many folders the user is asked about for one call. Before protocol
// version 2026-07-28 it is also how many questions of a session may be open.
const maxQuestions = 3

// grantFolders says which folders a call may use in addition to those of the
// configuration: the roots that the client offers, and the folders that the user has
// allowed. The user is asked about a folder only if it is outside all others. HTTP
// clients get none, since they may run on another machine.
func (s *Server) grantFolders(ctx context.Context, req mcp.CallToolRequest, need tools.Need) (tools.Grant, error) {
	session := sessionOf(ctx)
	if session == nil || session.Transport() != transport.Stdio {
		return tools.Grant{}, nil
	}
	can, in := abilitiesOf(ctx, session.Session), req.Params.MultiRoundTripParams
	offered, ask := s.offeredFolders(ctx, session, can, in)
	if ask {
		return tools.Grant{Ask: mcpserver.NewInputRequestBuilder(askedState).Roots(rootsID).ToolResult()}, nil
	}
	g := tools.Grant{Folders: offered}
	if s.cfg.Consents == nil {
		return g, nil
	}
	rules := s.cfg.Files.With(offered...)
	project := s.cfg.Project
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
			continue // the tool's own check explains why
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
	if len(open) == 0 || !can.forms || project == "" || !session.consents.canAsk() {
		return g, nil
	}
	if len(open) > maxQuestions {
		return tools.Grant{}, files.Refusal(fmt.Sprintf("the paths are in %d folders that are not allowed, and your user is asked about %d at most for one call: make several calls", len(open), maxQuestions))
	}
	if can.modern {
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

// allowed reports whether the user has allowed the folder, in this session or before.
func (s *Server) allowed(session *session, q *question) bool {
	if session.consents.isAllowed(q) {
		return true
	}
	ok, err := s.cfg.Consents.Allows(q.candidate.Real, q.access, q.project)
	if err != nil {
		s.cfg.Logger.Warn("the folders that the user has allowed can't be read", "error", err)
	}
	return ok
}

// askedState is the requestState of an answer that asks the client. The client sends it
// when it repeats the call; a new call has none.
const askedState = "kubbi-folders"

// consentTimeout is how long a call waits for the user. Hosts give up on a call after a
// minute. An answer that comes later counts for the next call.
const consentTimeout = 50 * time.Second

// errNotAsked means that the host has answered with an error instead of asking.
var errNotAsked = errors.New("the host does not ask its user")

// askByRequest asks the user about folders, one after the other. It returns nil if the
// user allows all of them.
func (s *Server) askByRequest(ctx context.Context, session *session, open []*question) error {
	for _, q := range open {
		p, first, err := session.consents.join(q)
		if err != nil {
			return err
		}
		if first && s.allowed(session, q) { // the user has answered since this call looked
			session.consents.decided(p, decision{allow: true}, true)
			continue
		}
		if first {
			answers := session.Request(mcp.MethodElicitationCreate, q.form())
			go func() { // until the user answers or the session ends
				select {
				case a := <-answers:
					s.decide(session, p, readDecision(a))
				case <-session.Context().Done():
				}
			}()
		}
		timer := time.NewTimer(p.timeout())
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
		case p.decision.failed:
			return errNotAsked
		case !p.decision.allow:
			return q.refused()
		}
	}
	return nil
}

// askByAnswer gives the answer to the call that asks the user about folders. It returns
// nil if the user has allowed all of them.
func (s *Server) askByAnswer(session *session, open []*question, in mcp.MultiRoundTripParams) (*mcp.CallToolResult, error) {
	b := mcpserver.NewInputRequestBuilder(askedState)
	asked := false
	for _, q := range open {
		id := "folder-" + q.id()
		if _, answered := in.InputResponses[id]; answered {
			if p := session.consents.find(q); p != nil { // else the answer does not count
				s.decide(session, p, decisionOf(mcpserver.ElicitationResponse(in.InputResponses, id)))
			}
			if !s.allowed(session, q) { // by this answer, or by that of another call
				return nil, q.refused()
			}
			continue
		}
		if err := session.consents.add(q); err != nil {
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

// decide applies the user's decision about a folder, and stores it if the user wants
// that. Of several decisions about one question only the first counts.
func (s *Server) decide(session *session, p *pending, d decision) {
	p.once.Do(func() { s.decideOnce(session, p, d) })
}

func (s *Server) decideOnce(session *session, p *pending, d decision) {
	remembered := false
	if d.allow && d.remember {
		err := s.cfg.Consents.Add(consent.Consent{Folder: p.candidate.Real, Access: p.access, Project: p.project, AllowedAt: time.Now()})
		if err != nil {
			s.cfg.Logger.Warn("the user's decision about a folder is kept for this session only", "error", err)
		}
		remembered = err == nil
	}
	if d.failed {
		s.cfg.Logger.Warn("the host declares forms for its user and answers with an error; it is not asked any more")
	} else {
		s.cfg.Logger.Info("the user was asked about a folder", "access", string(p.access), "allowed", d.allow, "remembered", remembered)
	}
	session.consents.decided(p, d, remembered)
}
