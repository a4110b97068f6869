package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// usage checks how many arguments a command of a script has.
func usage(ts *testscript.TestScript, neg bool, args []string, least, most int, usage string) {
	if neg || len(args) < least || len(args) > most {
		ts.Fatalf("usage: %s", usage)
	}
}

// cmdExits runs kubbi-mcp and compares its exit code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, 100, "exits CODE ARG...")
	err := ts.Exec("kubbi-mcp", args[1:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s: %v", code, args[0], args[1:])
	}
}

// cmdSetenv puts a file's content, without the line end, into a variable.
func cmdSetenv(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, 2, "setenv NAME FILE")
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile(args[1]), "\n"))
}

// cmdField puts a field of a JSON object into a variable.
func cmdField(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, 3, "field FIELD FILE NAME")
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &object))
	value, ok := object[args[0]].(string)
	if !ok {
		ts.Fatalf("%s has no string %q", args[1], args[0])
	}
	ts.Setenv(args[2], value)
}

// cmdKeyField puts a field of the key with that label, in what keys list --json
// printed, into a variable.
func cmdKeyField(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 4, 4, "keyfield LABEL FIELD FILE NAME")
	var list struct {
		Keys []map[string]any `json:"keys"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[2])), &list))
	for _, k := range list.Keys {
		if value, ok := k[args[1]].(string); ok && k["label"] == args[0] {
			ts.Setenv(args[3], value)
			return
		}
	}
	ts.Fatalf("%s has no key %q with a string %q", args[2], args[0], args[1])
}

// cmdSecretless checks that the standard error of the last command holds no secrets:
// the token of TOKEN and URL, the key of KEY, an idempotency key, and words that end in
// -secret.
func cmdSecretless(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, 0, "secretless")
	text := ts.ReadFile("stderr")
	for _, name := range []string{"TOKEN", "URL", "KEY"} {
		secret := ts.Getenv(name)
		secret = secret[strings.LastIndexByte(secret, '/')+1:]
		if len(secret) > 10 && (strings.Contains(text, secret) || strings.Contains(text, secret[:10])) {
			ts.Fatalf("the value of %s is shown", name)
		}
	}
	for _, pattern := range []string{`-secret`, `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-`, `kb_`} {
		if found := regexp.MustCompile(pattern).FindString(text); found != "" {
			ts.Fatalf("shown: %s", found)
		}
	}
	if text == "" {
		ts.Fatalf("nothing is shown at all")
	}
}

// cmdLives checks the lifetime of a kubbi.
func cmdLives(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, 2, "lives FILE SECONDS")
	var sent api.CreateResponse
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &sent))
	seconds, err := strconv.Atoi(args[1])
	ts.Check(err)
	if got := sent.ExpiresAt.Sub(sent.CreatedAt.Time); got != time.Duration(seconds)*time.Second {
		ts.Fatalf("it lives %v, want %d s", got, seconds)
	}
}

// cmdMode checks the permissions of files.
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, 100, "mode OCTAL FILE...")
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", name, got, args[0])
		}
	}
}

// cmdBytes writes a file with every value of a byte, repeated.
func cmdBytes(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, 2, "bytes COUNT FILE")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// cmdGet gets a URL and writes the body to standard output.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, 1, "get URL")
	body, err := httpGet(args[0])
	ts.Check(err)
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
}

func httpGet(url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s: %s", resp.Status, body)
	}
	return body, err
}

// cmdListening waits until a relay answers at an origin, or does not.
func cmdListening(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, 2, "listening yes|no ORIGIN")
	http.DefaultClient.CloseIdleConnections()
	deadline := time.Now().Add(testkit.Patience)
	for {
		_, err := httpGet(args[1] + api.PathHealth)
		if (err == nil) == (args[0] == "yes") {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still not %v: %v", args, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// server is a kubbi-mcp that a script started.
type server struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr testkit.Log
	exited chan error
}

// end closes the server's input, as a host does, and waits for its exit.
func (s *server) end() error {
	s.stdin.Close()
	return s.wait()
}

// signal sends the server a signal, with its input open, and waits for its exit.
func (s *server) signal(sig os.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return err
	}
	return s.wait()
}

func (s *server) wait() error {
	select {
	case err := <-s.exited:
		s.exited <- err
		return err
	case <-time.After(testkit.Patience):
		s.cmd.Process.Kill()
		return fmt.Errorf("still running")
	}
}

type serverKey string

// cmdServe starts a server whose input stays open until stop or the end of the script.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, 100, "serve NAME FLAG...")
	start(ts, args[0], append([]string{"serve"}, args[1:]...)...)
}

// start starts a server of that name.
func start(ts *testscript.TestScript, name string, args ...string) *server {
	path, err := exec.LookPath("kubbi-mcp")
	ts.Check(err)
	s := &server{cmd: exec.Command(path, args...), exited: make(chan error, 1)}
	s.cmd.Dir = ts.MkAbs(".")
	s.cmd.Stderr = &s.stderr
	for _, name := range []string{"KUBBI_DATA_DIR", "KUBBI_RELAY_URL", "KUBBI_STORE", "HOME"} {
		s.cmd.Env = append(s.cmd.Env, name+"="+ts.Getenv(name))
	}
	s.stdin, err = s.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	go func() { s.exited <- s.cmd.Wait() }()
	ts.Defer(func() { s.end() })
	servers(ts)[name] = s
	return s
}

// cmdRelay starts a team's relay at a free port and stops it at the end of the script.
// It sets RELAY and RELAY_ADDR to its address, and METRICS to that of its metrics.
func cmdRelay(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, 100, "relay NAME FLAG...")
	flags := []string{"relay", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--log-format", "json"}
	s := start(ts, args[0], append(flags, args[1:]...)...)
	ts.Defer(func() { s.signal(syscall.SIGTERM) })
	for name, logged := range map[string]string{"RELAY": "relay listens", "METRICS": "metrics and probes"} {
		addr := regexp.MustCompile(`"msg":"` + logged + `","addr":"([^"]+)"`)
		for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(20 * time.Millisecond) {
			if found := addr.FindStringSubmatch(s.stderr.String()); found != nil {
				ts.Setenv(name, "http://"+found[1])
				ts.Setenv(name+"_ADDR", found[1])
				break
			}
			if time.Now().After(deadline) || len(s.exited) > 0 {
				ts.Fatalf("%s does not serve:\n%s", args[0], s.stderr.String())
			}
		}
	}
}

// cmdLogged matches a server's log with a pattern.
func cmdLogged(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, false, args, 2, 2, "[!] logged NAME PATTERN")
	s := started(ts, args[0])
	if regexp.MustCompile(args[1]).MatchString(s.stderr.String()) == neg {
		ts.Fatalf("%s has logged:\n%s", args[0], s.stderr.String())
	}
}

// cmdEnds makes the command of that name, which ends a server and checks that it exits
// with 0.
func cmdEnds(name string, end func(*server) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		usage(ts, neg, args, 1, 1, name+" NAME")
		s := started(ts, args[0])
		if err := end(s); err != nil {
			ts.Fatalf("server %s: %v\n%s", args[0], err, s.stderr.String())
		}
	}
}

// servers are those of one script.
func servers(ts *testscript.TestScript) map[string]*server {
	return ts.Value(serverKey("servers")).(map[string]*server)
}

// started is the server of that name.
func started(ts *testscript.TestScript, name string) *server {
	s := servers(ts)[name]
	if s == nil {
		ts.Fatalf("no server %s", name)
	}
	return s
}
