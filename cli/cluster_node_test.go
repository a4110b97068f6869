package cli_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
)

// node is a relay as a process, which may be killed and started again at the
// same address.
type node struct {
	addr   string
	args   []string
	home   string
	log    *logBuffer
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan error
}

// cluster is several nodes over one store.
type cluster struct {
	t     *testing.T
	nodes []*node
}

// startCluster starts relays with these arguments and an address each. They are
// stopped at the end of the test, and must end well.
func startCluster(t *testing.T, n int, args func(addr string) []string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for range n {
		addr := freeAddr(t)
		c.nodes = append(c.nodes, &node{addr: addr, args: args(addr), home: t.TempDir(), log: &logBuffer{}})
	}
	t.Cleanup(c.stop)
	for _, n := range c.nodes { // all at once, as after a loss of power
		c.start(n)
	}
	for _, n := range c.nodes {
		c.ready(t.Context(), n)
	}
	return c
}

// origins are where the nodes are.
func (c *cluster) origins() (all []string) {
	for _, n := range c.nodes {
		all = append(all, "http://"+n.addr)
	}
	return all
}

func (c *cluster) start(n *node) {
	c.t.Helper()
	path, err := built()
	if err != nil {
		c.t.Fatal(err)
	}
	n.cmd = exec.Command(path, n.args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "KUBBI_") {
			n.cmd.Env = append(n.cmd.Env, v)
		}
	}
	n.cmd.Env = append(n.cmd.Env, "HOME="+n.home, "XDG_DATA_HOME="+n.home)
	n.cmd.Stderr = n.log
	stdin, err := n.cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	n.stdin = stdin
	if err := n.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	n.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(n.cmd, n.exited)
}

// ready waits until a node serves.
func (c *cluster) ready(ctx context.Context, n *node) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	waitHealthy(ctx, c.t, "http://"+n.addr+api.PathHealth)
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

// killInTurn kills one node after another, and starts each again at once, until
// ctx ends.
func (c *cluster) killInTurn(ctx context.Context, every time.Duration) {
	c.t.Helper()
	kills := 0
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			c.t.Logf("%d kills", kills)
			return
		case <-time.After(every/2 + rand.N(every)):
			c.kill(context.WithoutCancel(ctx), c.nodes[i%len(c.nodes)])
			kills++
		}
	}
}

// stop ends the nodes as an operator does, and looks for crashes in their logs.
func (c *cluster) stop() {
	for _, n := range c.nodes {
		if n.cmd == nil || n.cmd.Process == nil {
			continue
		}
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, n := range c.nodes {
		if n.cmd == nil || n.cmd.Process == nil {
			continue
		}
		select {
		case err := <-n.exited:
			if err != nil {
				c.t.Errorf("relay: %v\n%.5000s", err, n.log)
			}
		case <-time.After(patience):
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

// silent checks that the nodes' logs hold none of a storm's secrets.
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

// freeAddr gives a free address of this machine. Its port is none that the
// system gives to outgoing connections: while a node is down, one of these
// could take its place.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		return addr
	}
	t.Fatal("no free port")
	return ""
}
