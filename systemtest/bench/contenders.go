//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"kubbi-mcp/relay/store/postgres/pgtest"
)

// contender is a server that takes a message and gives it back once.
type contender struct {
	name   string
	pids   []int // its processes; what these start counts too
	create func(context.Context, *message) (ref string, err error)
	claim  func(context.Context, string, *message) error
	figures
}

// figures are those of a contender for one size: times in seconds, and bytes.
type figures struct{ pairs, late, createCost, claimCost, written series }

// startRelay starts a team's relay without its access log. The place is an
// empty PostgreSQL data base, or "" for SQLite in a directory of its own.
func (s *suite) startRelay(b build, place string, flags ...string) (*relay, error) {
	data, err := s.temp("relay")
	if err != nil {
		return nil, err
	}
	if place == "" {
		place = filepath.Join(data, "store.db")
	}
	args := append([]string{"relay", "--listen", "127.0.0.1:0", "--no-access-log", "--log-format", "json"}, flags...)
	cmd := exec.CommandContext(s.ctx, b.path, args...)
	cmd.Env = append(os.Environ(), "KUBBI_DATA_DIR="+data, "KUBBI_STORE="+place)
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p, err := s.launch(cmd)
	if err != nil {
		return nil, err
	}
	r := &relay{client: pool(callers), data: data, process: p}
	lines := bufio.NewScanner(log)
	for r.url == "" && lines.Scan() {
		var line struct {
			Msg string `json:"msg"`
			URL string `json:"public_url"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "relay listens" {
			r.url = line.URL
		}
	}
	if r.url == "" {
		return nil, errors.Join(errors.New("the relay does not listen"), p.stop())
	}
	go io.Copy(io.Discard, log) // ends with the process
	keys := exec.CommandContext(s.ctx, b.path, "keys", "create", "--label", "bench")
	keys.Env = cmd.Env
	out, err := keys.Output()
	if err != nil {
		return nil, fmt.Errorf("keys create: %w", err)
	}
	r.key = strings.TrimSpace(string(out))
	return r, nil
}

func (r *relay) contender(name string, pids ...int) *contender {
	return &contender{name: name, pids: append(pids, r.cmd.Process.Pid), create: r.create, claim: r.claim}
}

// startYopass starts yopass-server, without its access log, on a Redis of its own.
func (s *suite) startYopass(name string, redisFlags ...string) (*contender, error) {
	dir, err := s.temp("redis")
	if err != nil {
		return nil, err
	}
	var addrs [2]string
	for i := range addrs {
		if addrs[i], err = freeAddr(); err != nil {
			return nil, err
		}
	}
	_, redisPort, _ := strings.Cut(addrs[0], ":")
	_, port, _ := strings.Cut(addrs[1], ":")
	redis, err := s.launch(exec.CommandContext(s.ctx, "redis-server",
		append([]string{"--bind", "127.0.0.1", "--port", redisPort, "--dir", dir, "--save", ""}, redisFlags...)...))
	if err != nil {
		return nil, err
	}
	yopass, err := s.launch(exec.CommandContext(s.ctx, s.yopass, "--address", "127.0.0.1", "--port", port, "--database", "redis",
		"--redis", "redis://"+addrs[0]+"/0", "--max-length", "1000000", "--log-level", "error", "--asset-path", dir))
	if err != nil {
		return nil, err
	}
	client, url := pool(callers), "http://"+addrs[1]
	if err := s.await("yopass-server", func() error {
		_, err := do(s.ctx, client, request{http.MethodGet, url + "/ready", nil, ""})
		return err
	}); err != nil {
		return nil, err
	}
	return &contender{
		name: name, pids: []int{redis.cmd.Process.Pid, yopass.cmd.Process.Pid},
		create: func(ctx context.Context, m *message) (string, error) {
			b, err := do(ctx, client, request{http.MethodPost, url + "/create/secret", m.yopass, ""})
			return member(b, "message"), err
		},
		claim: func(ctx context.Context, id string, m *message) error {
			return m.in(do(ctx, client, request{http.MethodGet, url + "/secret/" + id, nil, ""}))
		},
	}, nil
}

// startBare starts a bare net/http server, which keeps nothing: it reads each
// message and gives back one of the same size.
func (s *suite) startBare() (*contender, error) {
	url, p, err := s.startRole("http-echo")
	if err != nil {
		return nil, err
	}
	client := pool(callers)
	return &contender{
		name: "bare net/http", pids: []int{p.cmd.Process.Pid},
		create: func(ctx context.Context, m *message) (string, error) {
			_, err := do(ctx, client, request{http.MethodPost, url + "/create", m.kubbi, "kb_"})
			return "", err
		},
		claim: func(ctx context.Context, _ string, m *message) error {
			_, err := do(ctx, client, request{http.MethodPost, fmt.Sprint(url, "/claim?size=", len(m.quoted)+claimEnvelope), nil, ""})
			return err
		},
	}, nil
}

// startRole starts one of this program's HTTP roles, and gives its URL.
func (s *suite) startRole(role string) (url string, p *process, err error) {
	cmd := exec.CommandContext(s.ctx, s.echo)
	cmd.Env = append(os.Environ(), "BENCH_ROLE="+role)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if p, err = s.launch(cmd); err != nil {
		return "", nil, err
	}
	url, err = bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(url), p, err
}

// startPostgres starts a server that waits for its disk. It gives an empty data
// base for each build, and the server's process.
func (s *suite) startPostgres() (places []string, pid int, stop func() error, err error) {
	// The server's user, who is not root, has to pass.
	if err := os.Chmod(s.dir, 0o711); err != nil {
		return nil, 0, nil, err
	}
	c := &pgtest.Cluster{Settings: []string{"fsync = on", "synchronous_commit = on"}, Dir: s.dir}
	for _, b := range s.builds {
		place, err := c.Empty(s.ctx, b.name)
		if err != nil {
			return nil, 0, nil, err
		}
		places = append(places, place)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "kubbi-postgres-*", "data", "postmaster.pid"))
	if err == nil && len(files) == 1 {
		var b []byte
		if b, err = os.ReadFile(files[0]); err == nil {
			line, _, _ := strings.Cut(string(b), "\n")
			pid, err = strconv.Atoi(line)
		}
	}
	if err != nil || pid == 0 {
		return nil, 0, nil, errors.Join(fmt.Errorf("the process of PostgreSQL is not known: %v", err), c.Stop())
	}
	return places, pid, c.Stop, nil
}
