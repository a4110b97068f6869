package hosts

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// TestHostConversations runs whole conversations of real hosts. A scripted model uses
// our tools, and the test checks what the host gives the model.
func TestHostConversations(t *testing.T) {
	dir := testkit.Needs(t, "KUBBI_HOSTS_NODE", "a copy of testdata/node with its packages")
	for _, c := range []struct {
		name   string
		api    modelAPI
		prefix string                 // of our tools' names in this host
		load   func(try int) toolCall // of the host's own, while our tools are not on offer: a search for them, if it has one
		start  func(h *host, url string) []string
	}{
		{"claude", anthropicAPI{}, "mcp__kubbi__", func(try int) toolCall {
			return toolCall{"ToolSearch", mustJSON(object{"query": "kubbi", "max_results": 20 + try})}
		}, (*host).claude},
		{"codex", openAIAPI{}, "mcp__kubbi__", searchCodex, (*host).codex},
		{"gemini", geminiAPI{}, "mcp_kubbi_", func(try int) toolCall {
			return toolCall{"list_directory", mustJSON(object{"dir_path": strings.Repeat("./", try+1)})}
		}, (*host).gemini},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, dir)
			allowed := filepath.Join(h.work, "allowed")
			if err := os.Mkdir(allowed, 0o700); err != nil {
				t.Fatal(err)
			}
			h.run(withEnv(c.name, pageCommands(t)[c.name], "'KUBBI_ALLOW_DIRS="+allowed+"'"))
			model := startModel(t, c.api)
			talk := h.talk(model, c.prefix, c.start(h, model.url))
			talk.load(t, c.load)
			useTools(t, talk, allowed)
			useImages(t, talk, allowed)
			talk.end(t)
		})
	}
}

// TestCodexCutsResults claims a payload whose result Codex cuts: above about 12,000
// bytes, for a model that Codex does not know. The model can get the payload again.
func TestCodexCutsResults(t *testing.T) {
	dir := testkit.Needs(t, "KUBBI_HOSTS_NODE", "a copy of testdata/node with its packages")
	h := newHost(t, dir)
	h.run(pageCommands(t)["codex"])
	model := startModel(t, openAIAPI{})
	talk := h.talk(model, "mcp__kubbi__", h.codexWith(model.url, "unknown"))
	talk.load(t, searchCodex)
	u := handoffs{T: t, f: talk}
	text := digits(24_000)
	url := u.send("send", map[string]any{"content": text})
	got := u.good("claim", map[string]any{"claim_url": url})
	if strings.Contains(got, text) || !strings.Contains(got, "save_to") {
		t.Errorf("want a result that is cut, and says what to do: %s", brief(got))
	}
	got = u.good("claim", map[string]any{"claim_url": url, "save_to": "received"})
	u.file(savedPath.FindString(got), []byte(text))
	talk.end(t)
}

// claude is a command line that starts a conversation in Claude Code.
func (h *host) claude(url string) []string {
	h.env = append(h.env, "ANTHROPIC_BASE_URL="+url, "ANTHROPIC_API_KEY=none", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1")
	return []string{"claude", "-p", "go", "--allowedTools", "mcp__kubbi"}
}

func (h *host) codex(url string) []string { return h.codexWith(url, "gpt-5.5") }

// codexWith is a conversation in Codex with a model. The model's name decides how much
// of a result Codex passes on.
func (h *host) codexWith(url, model string) []string {
	provider := "model_providers.script={name=\"script\",base_url=\"" + url + "/v1\",wire_api=\"responses\"}"
	return []string{"codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
		"-c", provider, "-c", `model_provider="script"`, "-m", model, "go"}
}

func (h *host) gemini(url string) []string {
	h.env = append(h.env, "GOOGLE_GEMINI_BASE_URL="+url, "GEMINI_CLI_NO_RELAUNCH=true", "GEMINI_API_KEY=none")
	path := filepath.Join(h.home(), ".gemini", "settings.json")
	b, err := os.ReadFile(path)
	if err != nil {
		h.Fatal(err)
	}
	var settings map[string]any
	if err := json.Unmarshal(b, &settings); err != nil {
		h.Fatal(err)
	}
	// A user selects this in a menu at the first start.
	settings["security"] = object{"auth": object{"selectedType": "gemini-api-key"}}
	if err := os.WriteFile(path, mustJSON(settings), 0o600); err != nil {
		h.Fatal(err)
	}
	return []string{"gemini", "-m", "gemini-2.5-flash", "--approval-mode", "yolo", "-p", "go"}
}

// conversation is a host during a conversation with the model.
type conversation struct {
	model  *scriptedModel
	ctx    context.Context
	prefix string
	first  turn
	wait   func() error
	output *bytes.Buffer
}

// talk starts the host and waits for its first request to the model.
func (h *host) talk(model *scriptedModel, prefix string, line []string) *conversation {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `exec "$@"`, "sh"}, line...)...)
	cmd.Dir, cmd.Env = h.work, h.env
	// A host ends its own processes only if it is asked to end, not if it is killed.
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 10*time.Second
	c := &conversation{model: model, prefix: prefix, output: new(bytes.Buffer)}
	cmd.Stdout, cmd.Stderr = c.output, c.output
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() {
		ended <- cmd.Wait()
		stop()
	}()
	c.ctx, c.wait = running, func() error { return <-ended }
	h.Cleanup(func() {
		cancel()
		<-running.Done()
		if h.Failed() {
			h.Logf("%s: %s", line[0], c.output)
		}
	})
	c.first = model.next(running, h.T)
	return c
}

// load waits until the host offers our tools. Some hosts start a conversation before
// their servers, and some want the model to search for tools. Each call differs from
// the last, since a host ends a conversation with repeated calls.
func (c *conversation) load(t *testing.T, meanwhile func(try int) toolCall) {
	t.Helper()
	for try := 0; len(c.tools(t)) == 0; try++ {
		time.Sleep(time.Duration(try) * time.Second)
		c.model.say(c.ctx, t, meanwhile(try))
		c.first = c.model.next(c.ctx, t)
	}
}

func searchCodex(try int) toolCall {
	return toolCall{toolSearch, mustJSON(object{"query": "kubbi", "limit": 20 + try})}
}

func (c *conversation) tools(t *testing.T) []string {
	var names []string
	for _, name := range c.first.tools {
		if ours, ok := strings.CutPrefix(name, c.prefix); ok {
			names = append(names, ours)
		}
	}
	slices.Sort(names)
	return names
}

func (c *conversation) call(t *testing.T, tool string, arguments map[string]any) shown {
	t.Helper()
	c.model.say(c.ctx, t, toolCall{c.prefix + tool, mustJSON(arguments)})
	now := c.model.next(c.ctx, t)
	if now.result == nil {
		t.Fatalf("%s: the host gives the model no result", tool)
	}
	return *now.result
}

// end ends the conversation and waits for the host to exit.
func (c *conversation) end(t *testing.T) {
	t.Helper()
	c.model.say(c.ctx, t, toolCall{})
	if err := c.wait(); err != nil {
		t.Errorf("the host ends: %v", err)
	}
}
