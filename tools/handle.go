package tools

import (
	"context"
	"fmt"

	"kubbi-mcp/internal/clipboard"
	"kubbi-mcp/internal/handles"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/args"
)

// mayClaim refuses, before anything is spent, to put into an answer, or into a file that a
// model could read, what no model may see.
func (t *toolset) mayClaim(ctx context.Context, in claimInput) error {
	_, h, err := t.Claims.Resolve(ctx, in.ClaimURL)
	switch {
	case err != nil:
		return err
	case h == nil || !h.HasSecret():
		return nil
	case h.Variable != "":
		return &toolError{OutcomeBadArguments, fmt.Sprintf("Nothing was claimed: this holds the value of the variable %s, which no model may see, neither here nor in a file. "+
			"A command can use it: %s. Your user gets its claim URL with: kubbi-mcp handle %s", h.Variable, h.Use(), h.ID)}
	}
	return &toolError{OutcomeBadArguments, fmt.Sprintf("Nothing was claimed: the answer to this request holds secrets, which no model may see, neither here nor in a file. "+
		"A command can use them as variables: %s. If a file of secrets is what your user wants, they write it in a terminal: kubbi-mcp claim -o FILE %s", h.Use(), h.ID)}
}

// handleFault refuses, before anything is sent, a call with handle: true that can't be done.
func (t *toolset) handleFault() error {
	if t.Claims.Handles() == nil {
		return args.Error("handle: true needs a data directory, which this server does not have.")
	}
	return nil
}

// keepHandle keeps the claim URL of a kubbi that was sent, and puts in its place how to use the
// id. variable is the one whose value was sent, "" for other contents. If the claim URL can't
// be kept, nobody has it: the kubbi is deleted.
func (t *toolset) keepHandle(ctx context.Context, inv invocation, out *sentOutput, variable string) error {
	h := handles.Handle{ID: out.ID, Kind: handles.Send, ClaimURL: out.ClaimURL, Variable: variable, ExpiresAt: out.ExpiresAt.Time}
	if err := t.Claims.Handles().Put(ctx, h); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
		defer cancel()
		_, derr := t.Client.Delete(ctx, out.ID)
		t.Logger.Error("keep a handle; its kubbi is deleted", "error", err, "deleted", derr == nil)
		return errNotKept
	}
	out.ClaimURL, out.Reach = "", ""
	out.Handle = "claim, inspect and kubbi-mcp run take this id in place of a claim URL, on this machine."
	if variable != "" {
		out.Handle = fmt.Sprintf("inspect takes this id, and a command can use the value: %s, on this machine.", h.Use())
	}
	copied := false
	if inv.mayCopy {
		err := clipboard.Copy(ctx, h.ClaimURL)
		if copied = err == nil; !copied {
			t.Logger.Warn("a claim URL was not put on the clipboard", "error", err)
		}
	}
	if copied {
		out.Handle += " The claim URL is on your user's clipboard, and kubbi-mcp handle " + out.ID + " shows it."
	} else {
		out.Handle += " Your user gets the claim URL with: kubbi-mcp handle " + out.ID
	}
	return nil
}

// errNotKept says that the claim URL of a kubbi or request could not be kept, and that the kubbi
// was deleted, or the request withdrawn.
var errNotKept = &toolError{OutcomeInternal, "Nothing was sent: the data directory can't be written, so the claim URL could not be kept. " +
	"Tell your user; the log on the stderr of kubbi-mcp says more."}

// forgetHandle forgets the handle of a kubbi that was deleted.
func (t *toolset) forgetHandle(ctx context.Context, id string) {
	store := t.Claims.Handles()
	id, err := kubbi.ParseID(id)
	if store == nil || err != nil {
		return
	}
	if err := store.Delete(context.WithoutCancel(ctx), id); err != nil {
		t.Logger.Warn("the handle of a deleted kubbi was not forgotten", "error", err)
	}
}
