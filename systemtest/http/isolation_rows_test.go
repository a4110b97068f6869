package http

import (
	"os"
	"path/filepath"
	"strings"

	"kubbi-mcp/internal/testkit"
)

// isolationOperations are the rows of docs/security.md. Each tries an operation as one
// caller, and returns the word for the result.
var isolationOperations = rowsOf(map[string]func(*isolationCell) string{
	"`GET /healthz`": func(c *isolationCell) string { return c.request("GET", "/healthz", false) },
	"`GET /.well-known/oauth-protected-resource/mcp`": func(c *isolationCell) string {
		return c.request("GET", "/.well-known/oauth-protected-resource/mcp", false)
	},
	"`GET /metrics`": func(c *isolationCell) string { return c.request("GET", "/metrics", false) },
	"`GET /sse`":     func(c *isolationCell) string { return c.request("GET", "/sse", false) },
	"`POST /message` in a session of alice's": func(c *isolationCell) string { return c.request("POST", "/message", true) },
	"`POST /mcp` in a session of alice's":     func(c *isolationCell) string { return c.request("POST", "/mcp", true) },
	"`GET /mcp` in a session of alice's":      func(c *isolationCell) string { return c.request("GET", "/mcp", true) },
	"`DELETE /mcp` of a session of alice's":   func(c *isolationCell) string { return c.request("DELETE", "/mcp", true) },
	"`initialize`": func(c *isolationCell) string {
		p := newPeer(c.srv.url, c.transport, c.peer.header, c.peer.hc)
		defer p.close()
		return c.word(nil, p.open(c.t.Context()))
	},
	"`ping`":                     asks("ping", nil),
	"`logging/setLevel`":         asks("logging/setLevel", map[string]any{"level": "error"}),
	"`tools/list`":               asks("tools/list", nil),
	"`prompts/list`":             asks("prompts/list", nil),
	"`resources/templates/list`": asks("resources/templates/list", nil),

	"`send`": func(c *isolationCell) string {
		return c.owned(c.call("send", map[string]any{"content": "mine"}))
	},
	"`send_files`": func(c *isolationCell) string {
		return c.owned(c.call("send_files", map[string]any{"files": []any{map[string]any{"name": "a.txt", "content": "mine"}}}))
	},
	"`request`": func(c *isolationCell) string {
		return c.owned(c.call("request", map[string]any{"message": "mine", "fields": []string{"A"}}))
	},
	"`get`, `claim` and `delete` of alice's request": (*isolationCell).onRequest,
	"`inspect` of alice's claim URL": func(c *isolationCell) string {
		_, url := c.send("alice")
		_, word := c.call("inspect", map[string]any{"claim_url": url})
		return word
	},
	"`claim` of alice's claim URL": func(c *isolationCell) string {
		id, url := c.send("alice")
		res, word := c.call("claim", map[string]any{"claim_url": url})
		if word == "ok" && payload(res) != "of alice" {
			return "another payload: " + res.Text()
		}
		return c.spent(id, word)
	},
	"`claim` of what alice has used up a moment ago": func(c *isolationCell) string { return c.claimAfterAlice(false) },
	"`claim` of the same, with `again`":              func(c *isolationCell) string { return c.claimAfterAlice(true) },

	"`list`": func(c *isolationCell) string {
		return c.shown("tools/call", map[string]any{"name": "list", "arguments": map[string]any{"limit": 100}})
	},
	"`resources/list`": func(c *isolationCell) string { return c.shown("resources/list", map[string]any{}) },
	"`completion/complete` of `receipt` `id`": func(c *isolationCell) string {
		return c.shown("completion/complete", completion(prompt("receipt"), "id"))
	},
	"`completion/complete` of `kubbi://{id}` `id`": func(c *isolationCell) string {
		return c.shown("completion/complete", completion(map[string]any{"type": "ref/resource", "uri": "kubbi://{id}"}, "id"))
	},
	"`completion/complete` of `handoff` `what`":         asks("completion/complete", completion(prompt("handoff"), "what")),
	"`completion/complete` of `handoff` `recipient`":    asks("completion/complete", completion(prompt("handoff"), "recipient")),
	"`completion/complete` of `handoff` `role`":         asks("completion/complete", completion(prompt("handoff"), "role")),
	"`completion/complete` of `handoff` `content_type`": asks("completion/complete", completion(prompt("handoff"), "content_type")),
	"`completion/complete` of `pickup` `claim_url`":     asks("completion/complete", completion(prompt("pickup"), "claim_url")),

	"`prompts/get` of `handoff`": asks("prompts/get", map[string]any{"name": "handoff"}),
	"`prompts/get` of `pickup`":  asks("prompts/get", map[string]any{"name": "pickup"}),
	"`prompts/get` of `receipt`": func(c *isolationCell) string {
		id, _ := c.send("alice")
		return c.asked("prompts/get", func(string) map[string]any {
			return map[string]any{"name": "receipt", "arguments": map[string]any{"id": id}}
		}, id)
	},
	"`tasks/get`, `tasks/update` and `tasks/cancel` of alice's task": (*isolationCell).onTask,

	"`resources/unsubscribe`, of one's own": asks("resources/unsubscribe", map[string]any{"uri": "kubbi://" + nobodys}),

	"`send` with `path`, a link in the shared folder to alice's file": func(c *isolationCell) string {
		path := filepath.Join(c.folders["the shared"], "link.txt")
		return c.file(path, "send", map[string]any{"path": path})
	},
	"`claim` with `save_to` of `received`": func(c *isolationCell) string {
		return c.file("received", "claim", map[string]any{"save_to": "received"})
	},
	"`send` with `path`, what alice has in `received`": func(c *isolationCell) string {
		path := c.inReceived()
		return c.file(path, "send", map[string]any{"path": path})
	},
})

// rowsOf adds the rows for each owner and for each folder.
func rowsOf(rows map[string]func(*isolationCell) string) map[string]func(*isolationCell) string {
	byID := func(id string) map[string]any { return map[string]any{"id": id} }
	byURI := func(id string) map[string]any { return map[string]any{"uri": "kubbi://" + id} }
	for _, owner := range []string{"alice", "bob", "carol"} {
		for _, tool := range []string{"get", "delete"} {
			rows["`"+tool+"` of "+owner+"'s kubbi"] = func(c *isolationCell) string {
				id, _ := c.send(owner)
				res, word := c.call(tool, byID(id))
				if never, _ := c.call(tool, byID(nobodys)); word == "not found" && never.Text() != res.Text() {
					return word + ", and for what was never there: " + never.Text()
				}
				if tool == "get" {
					return word
				}
				return c.spent(id, word)
			}
		}
		rows["`resources/read` of "+owner+"'s `kubbi://{id}`"] = func(c *isolationCell) string {
			id, _ := c.send(owner)
			return c.asked("resources/read", byURI, id)
		}
		rows["`subscriptions/listen` to "+owner+"'s `kubbi://{id}`, and its news"] = func(c *isolationCell) string { return c.listens(owner) }
		rows["`resources/subscribe` to "+owner+"'s `kubbi://{id}`, and its news"] = func(c *isolationCell) string {
			id, _ := c.send(owner)
			word := c.asked("resources/subscribe", byURI, id)
			if word == "ok" {
				c.news++
			}
			c.owners[owner].mustCall(c.t, "delete", byID(id)) // which is news
			return word
		}
	}
	for _, folder := range []string{"alice's", "bob's", "the shared", "nobody's"} {
		in := func(name string) func(c *isolationCell) string {
			return func(c *isolationCell) string { return filepath.Join(c.folders[folder], name) }
		}
		sendFiles := func(path func(*isolationCell) string) func(*isolationCell) string {
			return func(c *isolationCell) string {
				return c.file(path(c), "send_files", map[string]any{"files": []any{map[string]any{"path": path(c)}}})
			}
		}
		rows["`send` with `path`, a file in "+folder+" folder"] = func(c *isolationCell) string {
			return c.file(in("a.txt")(c), "send", map[string]any{"path": in("a.txt")(c)})
		}
		rows["`send_files` with `path`, a file in "+folder+" folder"] = sendFiles(in("a.txt"))
		rows["`send_files` with `path`, a folder in "+folder+" folder"] = sendFiles(func(c *isolationCell) string {
			dir := in("of-it")(c)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				c.t.Fatal(err)
			}
			testkit.FileOfItsName(c.t, filepath.Join(dir, "b.txt"))
			return dir
		})
		rows["`send_files` with `path`, a pattern in "+folder+" folder"] = sendFiles(in("a*.txt"))
		rows["`claim` with `save_to` in "+folder+" folder"] = func(c *isolationCell) string {
			dir := filepath.Join(c.folders[folder], strings.Map(func(r rune) rune {
				if r == '/' || r == ',' || r == ' ' {
					return '-'
				}
				return r
			}, c.t.Name()))
			return c.file(dir, "claim", map[string]any{"save_to": dir})
		}
	}
	return rows
}

// asks makes a row of a request that shows no kubbis.
func asks(method string, params map[string]any) func(*isolationCell) string {
	return func(c *isolationCell) string {
		return c.asked(method, func(string) map[string]any { return params }, "")
	}
}

func prompt(name string) map[string]any { return map[string]any{"type": "ref/prompt", "name": name} }

func completion(ref map[string]any, argument string) map[string]any {
	return map[string]any{"ref": ref, "argument": map[string]any{"name": argument, "value": ""}}
}
