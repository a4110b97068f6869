package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kubbi-mcp/internal/clipboard"
	"kubbi-mcp/internal/handles"
	"kubbi-mcp/internal/untrusted"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/claims"
)

// handleCmd is `kubbi-mcp handle`.
type handleCmd struct {
	ID   string `arg:"" optional:"" name:"id" help:"The id whose claim URL is wanted. Without one the ids are listed."`
	Copy bool   `help:"Put the claim URL on the clipboard instead of the terminal."`
	JSON bool   `name:"json" help:"List as JSON."`
}

// Run prints the claim URL of a handle, on a terminal alone, or lists the handles.
func (c *handleCmd) Run(a *app) error {
	switch {
	case c.ID == "" && c.Copy:
		return usagef("--copy needs an id; kubbi-mcp handle lists them")
	case c.ID != "" && c.JSON:
		return usagef("--json is for the list: leave out the id")
	}
	dir, err := a.dataDir()
	if err != nil {
		return err
	}
	store := handles.New(dir, "")
	if c.ID == "" {
		return c.list(a, store)
	}
	id, err := kubbi.ParseID(c.ID)
	if err != nil {
		return fmt.Errorf("handle: %w", err)
	}
	// An agent reads what its commands print.
	if !c.Copy && !isTerminal(a.stdout) {
		return usagef("standard output is no terminal, so an agent may read it: run this in a terminal, or give --copy for the clipboard")
	}
	h, err := store.Get(a.ctx, id)
	if errors.Is(err, handles.ErrNotFound) {
		err = claims.UnknownID{}
	}
	if err != nil {
		return fmt.Errorf("handle: %w", err)
	}
	if !c.Copy {
		return a.print(printable(h.ClaimURL) + "\n")
	}
	if err := clipboard.Copy(a.ctx, h.ClaimURL); err != nil {
		return fmt.Errorf("handle: %w", err)
	}
	a.remark("the claim URL is on the clipboard")
	return nil
}

// listedHandle is a handle without its claim URL.
type listedHandle struct {
	ID        string       `json:"id"`
	Kind      handles.Kind `json:"kind"`
	AnswerID  string       `json:"answer_id,omitzero"`
	Message   string       `json:"message,omitzero"`
	Fields    []api.Field  `json:"fields,omitzero"`
	Files     bool         `json:"files,omitzero"`
	Variable  string       `json:"variable,omitzero"`
	ExpiresAt time.Time    `json:"expires_at"`
}

func (c *handleCmd) list(a *app, store *handles.Store) error {
	all, err := store.List(a.ctx)
	var listed []listedHandle
	rows := [][]string{{"ID", "KIND", "EXPIRES", "WHAT"}}
	for _, h := range all {
		listed = append(listed, listedHandle{h.ID, h.Kind, h.AnswerID, h.Message, h.Fields, h.Files, h.Variable, h.ExpiresAt})
		what := untrusted.Line(h.Message, 60)
		if h.Variable != "" {
			what = "the variable " + h.Variable
		}
		rows = append(rows, []string{h.ID, string(h.Kind), localTime(api.Time{Time: h.ExpiresAt}), what})
	}
	switch {
	case c.JSON:
		err = errors.Join(a.printJSON(listed), err)
	case len(all) > 0:
		err = errors.Join(a.print(table(rows)), err)
	case err == nil:
		a.remark("no claim URL is kept: send and request of an MCP server keep some, and kubbi-mcp send --handle")
	}
	return err
}

// keepSent keeps the claim URL of a kubbi that was sent. If that fails, nobody has the claim
// URL, so the kubbi is deleted.
func (b *backend) keepSent(ctx context.Context, sent *kubbi.Sent) error {
	err := b.claimer().Handles().Put(ctx, handles.Handle{ID: sent.ID, Kind: handles.Send, ClaimURL: sent.ClaimURL, ExpiresAt: sent.ExpiresAt.Time})
	if err == nil {
		return nil
	}
	if _, derr := b.client.Delete(ctx, sent.ID); derr != nil {
		return fmt.Errorf("send: %w; what was sent could not be deleted, and wipes itself when it expires: %w", err, derr)
	}
	return fmt.Errorf("send: %w; what was sent is deleted", err)
}

// forgetHandle forgets the handle of a kubbi that was deleted, and what run has kept of it.
func (b *backend) forgetHandle(ctx context.Context, id string) error {
	id, err := kubbi.ParseID(id)
	if err != nil {
		return err
	}
	return errors.Join(b.claimer().Handles().Delete(ctx, id), keptFolder(b.dir).Forget(keepName(id)))
}
