package cluster

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// node is a relay process, which can be killed and started again at the same address.
type node struct {
	addr   string
	log    *testkit.Log
	cmd    *exec.Cmd
	exited chan error
}

// cluster is several nodes over one store.
type cluster struct {
	t     *testing.T
	env   []string // the nodes', and that of commands
	nodes []*node
}

// startCluster starts three relays with these variables, and stops them at the end of
// the test. They must exit with 0.
func startCluster(t *testing.T, env ...string) *cluster {
	t.Helper()
	home := t.TempDir()
	c := &cluster{t: t}
	c.env = testkit.Environ()
	// The clients of a storm repeat claims, some of which come too late. A relay would
	// count these as guesses.
	c.env = append(append(append(c.env, "KUBBI_RELAY_GUESS_LIMIT=0"), env...), "HOME="+home, "XDG_DATA_HOME="+home, "KUBBI_RELAY_GRACE=1h") // outlasts the test
	t.Cleanup(c.stop)
	for range 3 { // all at once, as after a loss of power
		n := &node{addr: testkit.MustFreeAddr(t), log: &testkit.Log{}}
		c.start(n)
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		c.ready(t.Context(), n)
	}
	return c
}

// run runs a command of kubbi-mcp with the environment of the nodes, and returns its
// standard output.
func (c *cluster) run(args ...string) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), testkit.Patience)
	defer cancel()
	cmd := c.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%v: %v: %s", args, err, &stderr)
	}
	return out
}

func (c *cluster) command(ctx context.Context, args ...string) *exec.Cmd {
	c.t.Helper()
	path := testkit.Program(c.t)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = c.env
	return cmd
}

// origins are the origins of the nodes.
func (c *cluster) origins() (all []string) {
	for _, n := range c.nodes {
		all = append(all, "http://"+n.addr)
	}
	return all
}

func (c *cluster) start(n *node) {
	c.t.Helper()
	n.cmd = c.command(context.Background(), "relay", "--listen", n.addr, "--log-format", "json", "--log-level", "debug")
	n.cmd.Stderr = n.log
	if err := n.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	n.exited = make(chan error, 1)
	cmd, exited := n.cmd, n.exited
	go func() { exited <- cmd.Wait() }()
}

// ready waits until a node serves.
func (c *cluster) ready(ctx context.Context, n *node) {
	ctx, cancel := context.WithTimeout(ctx, testkit.Patience)
	defer cancel()
	testkit.WaitHealthy(ctx, c.t, "http://"+n.addr+api.PathHealth)
}

// kill ends a node with -9 and starts it again.
func (c *cluster) kill(ctx context.Context, n *node) {
	c.t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		c.t.Error(err)
	}
	if err := <-n.exited; n.cmd.ProcessState.Exited() {
		c.t.Errorf("a node ended before it was killed: %v\n%.5000s", err, n.log)
	}
	c.start(n)
	c.ready(ctx, n)
}

// killInTurn kills one node after another and starts it again, with about a second in
// between.
func (c *cluster) killInTurn(ctx context.Context, kills int) {
	c.t.Helper()
	for i := range kills {
		select {
		case <-ctx.Done():
			c.t.Fatal(ctx.Err())
		case <-time.After(time.Second/2 + rand.N(time.Second)):
			c.kill(ctx, c.nodes[i%len(c.nodes)])
		}
	}
}

// stop ends the nodes with SIGTERM, and searches their logs for crashes.
func (c *cluster) stop() {
	for _, n := range c.nodes {
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, n := range c.nodes {
		select {
		case err := <-n.exited:
			if err != nil {
				c.t.Errorf("relay: %v\n%.5000s", err, n.log)
			}
		case <-time.After(testkit.Patience):
			_ = n.cmd.Process.Kill()
			c.t.Errorf("a relay does not end")
		}
		for _, bad := range []string{"DATA RACE", "panic:"} {
			if _, rest, found := strings.Cut(n.log.String(), bad); found {
				c.t.Errorf("%s%.5000s", bad, rest)
			}
		}
	}
}

// silent checks that the nodes' logs hold no secrets of a storm.
func (c *cluster) silent(s *storm) {
	c.t.Helper()
	secrets := []string{s.apiKey, s.keyText(0)[:len(s.keyText(0))-1]}
	for _, k := range s.kubbis[:min(50, len(s.kubbis))] {
		secrets = append(secrets, k.token, payload(k.number)[:50])
	}
	for _, n := range c.nodes {
		log := n.log.String()
		for _, secret := range secrets {
			if i := strings.Index(log, secret); i >= 0 {
				c.t.Errorf("a secret in a log: %.300s", log[max(0, i-100):])
			}
		}
	}
}
