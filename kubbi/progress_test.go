package kubbi

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"kubbi-mcp/kubbi/api"
)

// steps are the calls of a Progress.
type steps struct {
	done  []int64
	total []int64
}

func (s *steps) report(done, total int64) {
	s.done = append(s.done, done)
	s.total = append(s.total, total)
}

// check wants one attempt: from 0 to the end, never back, with one total.
func (s *steps) check(t *testing.T, end int64) {
	t.Helper()
	if len(s.done) < 2 || s.done[0] != 0 || s.done[len(s.done)-1] != end || !slices.IsSorted(s.done) {
		t.Errorf("done %v, want from 0 to %d", s.done, end)
	}
	for _, n := range s.total {
		if n != end {
			t.Fatalf("total %v, want %d throughout", s.total, end)
		}
	}
}

func TestProgressOfSend(t *testing.T) {
	var length atomic.Int64
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		length.Store(n)
		answer(w, http.StatusCreated, okSent)
	})
	text := strings.Repeat("x", 3<<20)
	var one, many steps
	if _, err := c.Send(t.Context(), SendParams{Content: text, Progress: one.report}); err != nil {
		t.Fatal(err)
	}
	one.check(t, length.Load())
	if len(one.done) < 10 {
		t.Errorf("3 MiB in %d steps", len(one.done))
	}
	if _, err := c.SendFiles(t.Context(), SendFilesParams{Files: []File{{Name: "a", Content: text, ContentType: "text/plain"}}, Progress: many.report}); err != nil {
		t.Fatal(err)
	}
	many.check(t, length.Load())
}

func TestProgressOfClaim(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		var length int64
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			body := `{"content":"` + strings.Repeat("x", 3<<20) + `"}`
			length = int64(len(body))
			w.Header().Set("Content-Type", api.TypeJSON)
			if !chunked {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			io.WriteString(w, body)
		})
		var got steps
		if _, err := c.Claim(t.Context(), testToken, looked(), WithProgress(got.report)); err != nil {
			t.Fatal(err)
		}
		if chunked {
			if last := len(got.total) - 1; got.total[0] != 0 || got.total[last] != length {
				t.Errorf("of unknown length: totals %d to %d, want 0 to %d", got.total[0], got.total[last], length)
			}
			for i := range got.total {
				got.total[i] = length
			}
		}
		got.check(t, length)
	}
}

// TestProgressStartsAnew: another attempt starts at 0, and nothing is reported after the
// call has returned.
func TestProgressStartsAnew(t *testing.T) {
	var n atomic.Int64
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			io.CopyN(io.Discard, r.Body, 1<<20)
			cut()
		}
		io.Copy(io.Discard, r.Body)
		answer(w, http.StatusCreated, okSent)
	})
	var got steps
	if _, err := c.Send(t.Context(), SendParams{Content: strings.Repeat("x", 3<<20), Progress: got.report}); err != nil {
		t.Fatal(err)
	}
	again := slices.Index(got.done[1:], 0) + 1
	if again < 2 || !slices.IsSorted(got.done[:again]) {
		t.Fatalf("no second start in %v", got.done)
	}
	(&steps{got.done[again:], got.total[again:]}).check(t, got.total[0])
}
