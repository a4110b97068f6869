package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store"
)

// Several processes race for one kubbi: exactly max_retrievals claims succeed.
func TestProcessesRace(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	for _, limit := range []int{1, 5, 20} {
		k := newKubbi(limit)
		if _, err := s.Create(t.Context(), k, bytesOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
		type racer struct {
			*exec.Cmd
			stdin io.WriteCloser
			out   *bufio.Reader
		}
		var racers []racer
		for range 4 {
			cmd := child(t, "race", path, tokenText(k.Token))
			cmd.Stderr = os.Stderr
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := racer{cmd, stdin, bufio.NewReader(stdout)}
			if line, err := r.out.ReadString('\n'); err != nil || line != "ready\n" {
				t.Fatalf("%q, %v", line, err)
			}
			racers = append(racers, r)
		}
		for _, r := range racers {
			r.stdin.Close()
		}
		won := 0
		for _, r := range racers {
			line, err := r.out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			won += n
			if err := r.Wait(); err != nil {
				t.Errorf("racer: %v", err)
			}
		}
		if won != limit {
			t.Errorf("%d claims succeeded of 128, want %d", won, limit)
		}
	}
}

// Several processes open a file that does not exist yet.
func TestProcessesOpenFresh(t *testing.T) {
	for range 5 {
		path := storePath(t)
		cmds := make([]*exec.Cmd, 4)
		errs := make([]bytes.Buffer, len(cmds))
		for i := range cmds {
			cmds[i] = child(t, "open", path)
			cmds[i].Stderr = &errs[i]
			if err := cmds[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for i, cmd := range cmds {
			if err := cmd.Wait(); err != nil {
				t.Errorf("process %d: %v: %s", i, err, &errs[i])
			}
		}
		l, err := openStore(t, path).List(t.Context(), "local", store.Page{Number: 1, Limit: 10}, t0)
		if err != nil || l.Total != len(cmds) {
			t.Errorf("%+v, error %v", l, err)
		}
	}
}

// killed reports whether a child was killed and did not end by itself. On Windows only
// the exit code shows it.
func killed(p *os.ProcessState) bool {
	if runtime.GOOS == "windows" {
		return p.ExitCode() == 1
	}
	return !p.Exited()
}

// Processes are killed in the middle of creates, claims and releases. All acknowledged
// changes are there, nothing is claimed twice, and the store opens.
func TestKill(t *testing.T) {
	rounds := 9
	if testkit.CI() {
		rounds = 36
	}
	path := storePath(t)
	sure, open := 0, 0 // acknowledged steps, and unfinished ones
	for range rounds {
		outs := make([]bytes.Buffer, 2)
		cmds := make([]*exec.Cmd, len(outs))
		for i := range cmds {
			cmds[i] = child(t, "stream", path)
			cmds[i].Stdout = &outs[i]
			cmds[i].Stderr = os.Stderr
			if err := cmds[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(40*time.Millisecond + rand.N(250*time.Millisecond))
		for _, cmd := range cmds {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil || !killed(cmd.ProcessState) {
				t.Fatalf("the child ended before it was killed: %v", err)
			}
		}
		last := map[string]event{}
		for i := range outs {
			for line := range bytes.Lines(outs[i].Bytes()) {
				var e event
				if !bytes.HasSuffix(line, []byte("\n")) {
					continue
				}
				if err := json.Unmarshal(line, &e); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				last[e.Token] = e
			}
		}
		s := openStore(t, path)
		for _, e := range last {
			if strings.HasSuffix(e.Event, "ing") {
				open++
			} else {
				sure++
			}
			checkKilled(t, s, e)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d steps acknowledged, %d under way when killed", sure, open)
	if sure == 0 || open == 0 {
		t.Error("the kills hit nothing")
	}
}

// checkKilled claims as the child would have, and once more.
func checkKilled(t *testing.T, s store.Store, e event) {
	t.Helper()
	token, err := parseToken(e.Token)
	if err != nil {
		t.Fatal(err)
	}
	var key *store.ClaimKey
	if e.Key != "" {
		h, err := parseHash(e.Key)
		if err != nil {
			t.Fatal(err)
		}
		key = &store.ClaimKey{Key: h, Grace: time.Hour}
	}
	c, err := s.Claim(t.Context(), token, key, nil, t0)
	switch {
	case e.Event == "created" && err != nil:
		t.Errorf("acknowledged create can't be claimed: %v", err)
	case e.Event == "claimed" && key == nil && !errors.Is(err, store.ErrBurned):
		t.Errorf("claimed again after an acknowledged claim: %v", err)
	case e.Event == "released" && !errors.Is(err, store.ErrBurned):
		t.Errorf("claimed again after an acknowledged release: %v", err)
	case (e.Event == "claiming" || e.Event == "claimed") && key != nil && err != nil:
		t.Errorf("%s, but its key does not get the payload: %v", e.Event, err)
	case err != nil && !errors.Is(err, store.ErrBurned):
		t.Errorf("%s: %v", e.Event, err)
	}
	if err == nil {
		got, err := io.ReadAll(c.Payload)
		if err != nil {
			t.Error(err)
		}
		_ = c.Payload.Close()
		want, _ := io.ReadAll(streamPayload(e.Token))
		if !bytes.Equal(got, want) || c.Number != 1 {
			t.Errorf("%s: %d bytes of payload, want %d; number %d", e.Event, len(got), len(want), c.Number)
		}
	}
	if _, err := s.Claim(t.Context(), token, nil, nil, t0); !errors.Is(err, store.ErrBurned) {
		t.Errorf("%s: one more claim: %v", e.Event, err)
	}
}

// BenchmarkProcesses has three processes of four callers each create and claim
// in one store, and reports the 99th percentile of a pair.
func BenchmarkProcesses(b *testing.B) {
	path := storePath(b)
	openStore(b, path)
	b.ResetTimer()
	outs := make([]bytes.Buffer, 3)
	var cmds []*exec.Cmd
	for i := range outs {
		cmd := child(b, "pairs", path, strconv.Itoa(b.N/len(outs)+1), "4")
		cmd.Stdout = &outs[i]
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	var took []int
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
		for line := range bytes.Lines(outs[i].Bytes()) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(line)))
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, n)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "pairs/s")
	b.ReportMetric(float64(took[len(took)*99/100])/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1])/1000, "max-ms")
}

// When a process opens the store twice, the first one must keep its locks. Otherwise
// another process that opens and closes the store would remove the write-ahead log.
func TestSecondOpenKeepsLocks(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	if err := openStore(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if out, err := child(t, "open", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := os.Stat(path + "-wal"); err != nil {
			t.Fatalf("another process has removed the log: %v", err)
		}
		if _, err := s.Create(t.Context(), newKubbi(1), bytesOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
	}
	l, err := openStore(t, path).List(t.Context(), "local", store.Page{Number: 1, Limit: 10}, t0)
	if err != nil || l.Total != 6 {
		t.Errorf("%+v, error %v", l, err)
	}
}

// A program that ignores the lock file locks the data base: calls end with their
// contexts, and the store works again after that program.
func TestForeignLock(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	hold := rawConn(t, path)
	execute(t, hold, "BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	k := newKubbi(1)
	if _, err := s.Create(ctx, k, bytesOf([]byte("x")), nil, store.Quota{}, t0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("create: %v", err)
	}
	if _, err := s.Get(t.Context(), "local", k.ID, t0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	execute(t, hold, "ROLLBACK")
	if _, err := s.Create(t.Context(), newKubbi(1), bytesOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		t.Errorf("create when it is free again: %v", err)
	}
}
