package cluster

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// TestClusterRotatesByTheClock has two processes rotate the keyring of three relays
// every few seconds, while kubbis are handed over.
func TestClusterRotatesByTheClock(t *testing.T) {
	testkit.OnlyCI(t, "waits for several rotations by the clock")
	t.Parallel()
	startCluster(t, onFile(t)...).rotateByTheClock()
}

// rotateByTheClock checks that no request fails, that no active kubbi loses its key,
// and that keys which nothing needs are removed.
func (c *cluster) rotateByTheClock() {
	t := c.t
	load, stop := startHandoffs(t, 4, c.newKey("load"), c.origins()...)
	rotators := []*rotator{c.rotate(), c.rotate()}
	end := time.Now().Add(testkit.Patience)
	for said := ""; strings.Count(said, "removed") < 3; said = rotators[0].said() + rotators[1].said() {
		if load.claimKept(); time.Now().After(end) || t.Failed() {
			t.Fatalf("too little is removed: %q", said)
		}
		time.Sleep(200 * time.Millisecond)
	}
	stop()
	for _, r := range rotators {
		r.end(t)
	}
	kept := load.claimKept()
	var made, removed []string
	for line := range strings.Lines(rotators[0].said() + rotators[1].said()) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "removed "); ok {
			removed = append(removed, id)
		} else if id, _, ok := strings.Cut(line, " seals from "); ok {
			made = append(made, id)
		}
	}
	list := string(c.run("keyring", "list"))
	for _, id := range removed {
		if strings.Contains(list, id) {
			t.Errorf("%s was removed, and is there:\n%s", id, list)
		}
	}
	if n := strings.Count(list, "\n") - 1; n != 1+len(made)-len(removed) {
		t.Errorf("%d keys are there, %d were made and %d removed", n, len(made), len(removed))
	}
	t.Logf("%d keys made, %d removed, %d kubbis handed over, %d kept to the end", len(made), len(removed), load.done.Load(), kept)
}

// rotator is a process of keyring rotate --every.
type rotator struct {
	cmd            *exec.Cmd
	stdout, stderr testkit.Log
}

func (c *cluster) rotate() *rotator {
	c.t.Helper()
	r := &rotator{cmd: c.command(context.Background(), "keyring", "rotate", "--every", "4s", "--after", "2s", "--margin", "2s")}
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	if err := r.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

func (r *rotator) said() string { return r.stdout.String() }

// end interrupts the process, which must exit with 0 and log nothing.
func (r *rotator) end(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("rotate: %v: %s", err, r.stderr.String())
	}
	if out := r.stderr.String(); strings.Contains(out, "ERR") {
		t.Errorf("rotate logged: %s", out)
	}
}
