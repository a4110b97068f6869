package tools

import (
	"context"

	"kubbi-mcp/kubbi"
)

type progressKey struct{}

// WithProgress gives a context in which report is told how far a call's payload
// has moved, for a caller who wants to know.
func WithProgress(ctx context.Context, report kubbi.Progress) context.Context {
	return context.WithValue(ctx, progressKey{}, report)
}

// progressOf gives what WithProgress has put into a context, nil if nothing.
func progressOf(ctx context.Context) kubbi.Progress {
	report, _ := ctx.Value(progressKey{}).(kubbi.Progress)
	return report
}
