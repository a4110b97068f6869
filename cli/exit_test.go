package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// TestExitCode sends every code through a server and the client, for only the
// client makes its errors.
func TestExitCode(t *testing.T) {
	want := map[api.Code]int{
		api.CodeValidation:       exitUsage,
		api.CodeTooLarge:         exitUsage,
		api.CodeUnauthorized:     exitUnauthorized,
		api.CodeNotFound:         exitNotFound,
		api.CodeMethodNotAllowed: exitFailure,
		api.CodeConflict:         exitGone,
		api.CodeExpired:          exitGone,
		api.CodeGone:             exitGone,
		api.CodeRateLimited:      exitLimited,
		api.CodeQuotaExceeded:    exitLimited,
		api.CodeInternal:         exitFailure,
		api.CodeNotImplemented:   exitFailure,
		api.CodeUnavailable:      exitNetwork,
	}
	for code, status := range api.Statuses {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":%q,"message":"told"}`, code)
		}))
		client, err := kubbi.NewClient("kb_x", kubbi.WithBaseURL(srv.URL), kubbi.WithRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Get(t.Context(), "00000000-0000-4000-8000-000000000000")
		if got := ExitCode(fmt.Errorf("get: %w", err)); got != want[code] {
			t.Errorf("%s: exit code %d, want %d (%v)", code, got, want[code], err)
		}
		srv.Close()
		if _, err = client.Get(t.Context(), "00000000-0000-4000-8000-000000000000"); ExitCode(err) != exitNetwork {
			t.Errorf("no answer: exit code %d (%v)", ExitCode(err), err)
		}
		client.Close()
	}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailure},
		{fmt.Errorf("x: %w", usagef("y")), exitUsage},
		{interrupted{usagef("y")}, exitInterrupted},
		{interrupted{fmt.Errorf("x: %w", context.Canceled)}, exitInterrupted},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("ExitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}
