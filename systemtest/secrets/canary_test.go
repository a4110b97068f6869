//go:build linux

package secrets

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// The secrets that the person enters, and a text that must be found wherever the secrets are
// searched for. It shows that the search would find them.
const (
	canary  = "canary+4711/correct horse&battery=staple\"é"
	canary2 = "-----BEGIN CANARY-----\ncanary-4712-first-line\ncanary-4712-second-line\n-----END CANARY-----\n"
	marker  = "marker-0815-why-it-is-wanted"
)

// forms are the forms in which a secret could be somewhere.
func forms(text string) [][]byte {
	quoted, _ := json.Marshal(text)
	all := [][]byte{[]byte(text), []byte(hex.EncodeToString([]byte(text))), bytes.Trim(quoted, `"`)}
	for _, line := range strings.Split(text, "\n") {
		if len(line) > 15 {
			all = append(all, []byte(line))
		}
	}
	for shift := range 3 { // base64 depends on what stands before
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			coded := enc.EncodeToString(append(make([]byte, shift), text...))
			all = append(all, []byte(coded[4:len(coded)-4]))
		}
	}
	return all
}

func holds(data []byte, text string) bool {
	for _, form := range forms(text) {
		if bytes.Contains(data, form) {
			return true
		}
	}
	return false
}

// TestSearch finds a secret in each form.
func TestSearch(t *testing.T) {
	for _, secret := range []string{canary, canary2} {
		quoted, err := json.Marshal(map[string]string{"a": secret})
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string]string{
			"plain": "x" + secret + "x", "JSON": string(quoted), "hexadecimal": "x" + hex.EncodeToString([]byte(secret)),
			"base64": base64.StdEncoding.EncodeToString([]byte("x" + secret + "xy")), "base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte("xy" + secret)),
		} {
			if !holds([]byte(data), secret) {
				t.Errorf("%q is not found as %s", secret, name)
			}
		}
	}
	if holds([]byte(marker), canary) {
		t.Error("a secret is found where there is none")
	}
}

// noSecret checks that the secrets are not in data, and the marker is, if it must be.
func noSecret(t *testing.T, what string, data []byte, marked bool) {
	t.Helper()
	if holds(data, canary) || holds(data, canary2) {
		t.Errorf("a secret is in %s", what)
	}
	if marked && !holds(data, marker) {
		t.Errorf("the marker is not in %s (%d bytes): the search finds nothing", what, len(data))
	}
}

// TestCanary has an agent ask for two secrets, a person answer, and a command use them. The
// secrets are in no JSON-RPC byte, no log line, no request to the relay, no file, no argument
// of a process, and not in the memory of the MCP server or the relay.
func TestCanary(t *testing.T) {
	for _, overHTTP := range []bool{false, true} {
		for _, modern := range []bool{false, true} {
			if overHTTP != modern && !testkit.CI() {
				continue // all four take twice as long
			}
			t.Run(fmt.Sprintf("http %t, modern %t", overHTTP, modern), func(t *testing.T) {
				t.Parallel()
				with := newEmbedded
				if overHTTP {
					with = newTeam
				}
				with(t).run(overHTTP, modern)
			})
		}
	}
}

type canaryTest struct {
	*testing.T
	agent    []string     // environment of the agent's commands
	person   []string     // of the person's
	relayLog *testkit.Log // nil: the relay is embedded
	wire     *recorder    // of the connections to the relay
	folders  []string     // data directories
	outputs  testkit.Log
}

// newEmbedded is for an agent and a person who use the embedded relay of one data directory.
func newEmbedded(t *testing.T) *canaryTest {
	t.Helper()
	dir := t.TempDir()
	env := append(testkit.Environ(), "KUBBI_DATA_DIR="+dir, "KUBBI_RELAY_URL="+testkit.FreeURL(t))
	return &canaryTest{T: t, agent: env, person: env, folders: []string{dir}}
}

// newTeam starts a team's relay behind a recorder. Agent and person have data directories of
// their own.
func newTeam(t *testing.T) *canaryTest {
	t.Helper()
	addr, dir, agent, person := testkit.MustFreeAddr(t), t.TempDir(), t.TempDir(), t.TempDir()
	c := &canaryTest{T: t, wire: record(t, addr), folders: []string{dir, agent, person}}
	c.relayLog = testkit.StartRelay(t.Context(), t, "http://"+addr, "relay", "--data-dir", dir, "--listen", addr, "--public-url", c.wire.url, "--lame-duck", "0s", "--log-level", "debug")
	key, errs, err := testkit.Run(t, nil, "keys", "create", "--data-dir", dir, "--label", "agent")
	if err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	both := append(testkit.Environ(), "KUBBI_BASE_URL="+c.wire.url, "KUBBI_RELAY_URL="+testkit.FreeURL(t))
	c.agent = append(slices.Clip(both), "KUBBI_API_KEY="+strings.TrimSpace(key), "KUBBI_DATA_DIR="+agent)
	c.person = append(slices.Clip(both), "KUBBI_DATA_DIR="+person)
	return c
}

func (c *canaryTest) run(overHTTP, modern bool) {
	c.Helper()
	h := startHost(c.T, c.agent, overHTTP, modern)
	asked := h.good("request", map[string]any{"message": marker, "fields": []any{"TOKEN", map[string]any{"name": "PEM", "lines": true}}})
	id, url := asked["request_id"].(string), asked["request_url"].(string)
	if len(h.shown) != 1 || h.shown[0] != url || !strings.Contains(asked["next"].(string), "was shown the page") {
		c.Fatalf("the user was shown %q: %v", h.shown, asked)
	}
	c.answer(url)
	if got := h.good("get", map[string]any{"id": id, "wait_seconds": 30}); got["status"] != "answered" {
		c.Fatalf("get: %v", got)
	}
	if m := h.call("claim", map[string]any{"claim_url": id}); !m.Result.IsError || !strings.Contains(m.Result.Content[0].Text, "kubbi-mcp run --env-from "+id) {
		c.Fatalf("claim: %+v", m.Result)
	}
	c.use(id)
	got := h.good("get", map[string]any{"id": id})
	if got["status"] != "answered" {
		c.Errorf("get after the use: %v", got)
	}
	noSecret(c.T, "the server's memory", memory(c.T, h.server.Process.Pid), true)
	noSecret(c.T, "the messages", h.wire.Bytes(), true)
	noSecret(c.T, "the server's log", []byte(h.log.String()), false)
	noSecret(c.T, "the output of commands", []byte(c.outputs.String()), true)
	if c.relayLog != nil {
		noSecret(c.T, "the relay's log", []byte(c.relayLog.String()), false)
		noSecret(c.T, "the requests to the relay", c.wire.all(), true)
	}
	for _, folder := range c.folders {
		for _, path := range testkit.FilesIn(c.T, folder) {
			data, err := os.ReadFile(path)
			if err != nil && !os.IsNotExist(err) {
				c.Error(err)
			}
			noSecret(c.T, path, data, false)
		}
	}
	if !strings.Contains(h.log.String(), "tool=request") {
		c.Errorf("the server's log has no line about the call: %s", h.log.String())
	}
}

// start starts a command whose input stays open.
func (c *canaryTest) start(env []string, args ...string) (cmd *exec.Cmd, stdin io.WriteCloser, stdout *bufio.Reader) {
	c.Helper()
	cmd = exec.CommandContext(c.Context(), testkit.Program(c.T), args...)
	cmd.Env, cmd.Stderr = env, &c.outputs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	return cmd, stdin, bufio.NewReader(io.TeeReader(out, &c.outputs))
}

// answer answers as a person does.
func (c *canaryTest) answer(url string) {
	c.Helper()
	cmd, stdin, stdout := c.start(append(slices.Clip(c.person), "KUBBI_LOG_LEVEL=debug"), "answer", url)
	values, err := json.Marshal(map[string]string{"TOKEN": canary, "PEM": canary2})
	if err != nil {
		c.Fatal(err)
	}
	if _, err := stdin.Write(values); err != nil {
		c.Fatal(err)
	}
	c.arguments(url)
	stdin.Close()
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		c.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		c.Fatalf("answer: %v: %s", err, c.outputs.String())
	}
}

// use runs a command with the answer. It prints the secrets, which its output must not have.
func (c *canaryTest) use(id string) {
	c.Helper()
	script := `printf '%s' "$PEM" >&2; echo "` + marker + ` $TOKEN $(printf '%s' "$TOKEN" | base64 -w0)"; cat >/dev/null; test "$TOKEN" = "$WANT"`
	cmd, stdin, stdout := c.start(append(slices.Clip(c.agent), "WANT="+canary, "KUBBI_LOG_LEVEL=debug"), "run", "--env-from", id, "--", "sh", "-c", script)
	line, err := stdout.ReadString('\n')
	if err != nil || line != marker+" [TOKEN] [TOKEN]\n" {
		c.Fatalf("run prints %q, %v: %s", line, err, c.outputs.String())
	}
	c.arguments(id) // the command runs, and has the secrets
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		c.Fatalf("run: %v: %s", err, c.outputs.String())
	}
}

// arguments checks the arguments of all processes. One of them must have some text.
func (c *canaryTest) arguments(some string) {
	c.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		c.Fatal(err)
	}
	var all []byte
	for _, path := range paths {
		args, _ := os.ReadFile(path) // the process may have ended
		all = append(append(all, args...), '\n')
	}
	noSecret(c.T, "the arguments of a process", all, false)
	if !bytes.Contains(all, []byte(some)) {
		c.Errorf("no process has the argument that one must have, among %d", len(paths))
	}
}

// memory gives the writable memory of a process, which is what is in its core.
func memory(t *testing.T, pid int) []byte {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var all bytes.Buffer
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		from, to, ok := strings.Cut(fields[0], "-")
		start, err1 := strconv.ParseInt(from, 16, 64)
		end, err2 := strconv.ParseInt(to, 16, 64)
		if !ok || err1 != nil || err2 != nil || !strings.HasPrefix(fields[1], "rw") {
			continue // [vsyscall] does not fit, and is not writable
		}
		// What was never touched can't be read, and holds nothing.
		_, _ = io.Copy(&all, io.NewSectionReader(mem, start, end-start))
		all.WriteByte('\n')
	}
	return all.Bytes()
}
