package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// TestExitCode sends every error code through a server and the client, since only the
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
		api.CodeStorageFull:      exitFailure,
		api.CodeDamaged:          exitFailure,
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
		{exitError{usagef("y"), exitInterrupted}, exitInterrupted},
		{exitError{fmt.Errorf("x: %w", context.Canceled), exitInterrupted}, exitInterrupted},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("ExitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

// TestInterrupted cancels a command that waits for an answer.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer srv.Close()
	env := map[string]string{"KUBBI_API_KEY": "kb_x", "KUBBI_BASE_URL": srv.URL, "KUBBI_DATA_DIR": t.TempDir()}
	var out bytes.Buffer
	err := Run(ctx, []string{"list"}, func(name string) string { return env[name] }, strings.NewReader(""), &out, &out)
	if !errors.Is(err, context.Canceled) || ExitCode(err) != exitInterrupted {
		t.Errorf("exit code %d: %v", ExitCode(err), err)
	}
	if out.Len() != 0 {
		t.Errorf("output: %s", out.String())
	}
}

// TestInterruptedInput cancels a command that waits for input.
func TestInterruptedInput(t *testing.T) {
	for _, args := range [][]string{{"send"}, {"send", "-"}, {"send", "-f", "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		env := map[string]string{"KUBBI_DATA_DIR": t.TempDir()}
		var out bytes.Buffer
		time.AfterFunc(10*time.Millisecond, cancel)
		err := Run(ctx, args, func(name string) string { return env[name] }, r, &out, &out)
		if !errors.Is(err, context.Canceled) || ExitCode(err) != exitInterrupted {
			t.Errorf("%v: exit code %d: %v", args, ExitCode(err), err)
		}
		w.Close()
	}
}
