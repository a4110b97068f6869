package http

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// isolationCell is one cell of the table: a caller tries an operation.
type isolationCell struct {
	*isolated
	t         *testing.T
	peer      *peer
	caller    string // the column
	token     string // the name of the caller's token
	transport string
	news      int // notifications that are due to the caller
}

// onlyWithSessions are the operations that version 2026-07-28 does not have.
var onlyWithSessions = []string{"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}

// onlyModern are the operations that older versions do not have.
var onlyModern = []string{"tasks/get", "tasks/update", "tasks/cancel"}

// check tries all operations as one caller.
func (w *isolated) check(t *testing.T, table isolationTable, column int, transport string, header http.Header) {
	c := &isolationCell{isolated: w, t: t, transport: transport, caller: table.callers[column], token: strings.Split(table.callers[column], "+")[0]}
	c.peer = newPeer(w.srv.url, transport, header, &http.Client{Transport: &http.Transport{}})
	t.Cleanup(c.peer.close)
	if word := c.word(nil, c.peer.open(t.Context())); word == "ok" && transport == overHTTP {
		if err := c.peer.listen(t.Context(), "/mcp"); err != nil {
			t.Fatal(err)
		}
	} else if word == "401" { // then it tries alice's session
		alice := w.srv.connect(t, transport, bearer(aliceToken))
		c.peer.session, c.peer.endpoint = alice.session, alice.endpoint
	}
	for _, row := range table.rows {
		method := strings.Split(row.operation, "`")[1]
		if transport == overModern && slices.Contains(onlyWithSessions, method) || transport != overModern && slices.Contains(onlyModern, method) {
			continue
		}
		if got := isolationOperations[row.operation](c); got != row.cells[column] {
			t.Errorf("%s: %s; docs/security.md says %s", row.operation, got, row.cells[column])
		}
	}
	const news = "notifications/resources/updated"
	if c.news > 0 {
		testkit.Await(t, "news of what was subscribed to", func() bool { return c.peer.heard(news) >= c.news })
	}
	if got := c.peer.heard(news); got != c.news {
		t.Errorf("%d notifications, not %d", got, c.news)
	}
}

// word is the word of docs/security.md for an answer.
func (c *isolationCell) word(_ json.RawMessage, err error) string {
	var status *statusError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &status) && status.status == http.StatusTooManyRequests && strings.Contains(status.body, "Too many wrong keys"):
		return "401"
	case errors.As(err, &status) && status.status == http.StatusNotFound:
		return "not found"
	case errors.As(err, &status):
		return fmt.Sprint(status.status)
	}
	return err.Error()
}

// call calls a tool, and returns the word for its result.
func (c *isolationCell) call(tool string, arguments map[string]any) (*testkit.ToolResult, string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), testkit.Patience)
	defer cancel()
	res, err := c.peer.call(ctx, tool, arguments)
	if err != nil {
		return &testkit.ToolResult{}, c.word(nil, err)
	}
	text := res.Text()
	switch {
	case !res.IsError:
		return res, "ok"
	case strings.HasPrefix(text, "You have sent no kubbi with this id."), strings.Contains(text, "it was never claimed by you"),
		strings.HasPrefix(text, "No claim URL is kept for this id."):
		return res, "not found"
	case strings.HasPrefix(text, "This kubbi was burned"), strings.HasPrefix(text, "This kubbi was used up"):
		return res, "gone"
	case strings.HasPrefix(text, "You have claimed this already"):
		return res, "hers"
	case strings.HasPrefix(text, "Nothing was sent: ") || strings.HasPrefix(text, "Nothing was claimed: "):
		return res, "refused"
	}
	return res, "error: " + text
}

// send creates a kubbi of an owner.
func (c *isolationCell) send(owner string) (id, url string) {
	c.t.Helper()
	res := c.owners[owner].mustCall(c.t, "send", map[string]any{"content": "of " + owner, "max_retrievals": 1, "metadata": map[string]any{"label": owner}})
	if res.IsError {
		c.t.Fatal(res.Text())
	}
	id, url = res.Field("id"), res.Field("claim_url")
	c.sent[id] = owner
	return id, url
}

// ask makes a request of an owner.
func (c *isolationCell) ask(owner string) (id string) {
	c.t.Helper()
	id = c.owners[owner].mustCall(c.t, "request", map[string]any{"message": owner + "'s", "fields": []any{map[string]any{"name": "A", "secret": false}}}).Field("request_id")
	c.sent[id] = owner
	return id
}

// status is the status of a kubbi as its owner sees it.
func (c *isolationCell) status(id string) string {
	c.t.Helper()
	return c.owners[c.sent[id]].mustCall(c.t, "get", map[string]any{"id": id}).Field("status")
}

// spent checks, by the word, that the caller has claimed or deleted a kubbi, or has
// not.
func (c *isolationCell) spent(id, word string) string {
	c.t.Helper()
	if status := c.status(id); (status != "active") != (word == "ok") {
		return word + ", but the kubbi is " + status
	}
	return word
}

// owned says which owner a new kubbi or request has.
func (c *isolationCell) owned(res *testkit.ToolResult, word string) string {
	c.t.Helper()
	if word != "ok" {
		return word
	}
	var all []string
	id := cmp.Or(res.Field("id"), res.Field("request_id"))
	for name, p := range c.owners {
		if got := p.mustCall(c.t, "get", map[string]any{"id": id}); !got.IsError {
			c.sent[id], all = name, append(all, name+"'s")
		}
	}
	return strings.Join(all, " and ")
}

var anyID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// shown says whose kubbis an answer shows, and checks that the newest is one of them. The
// answer of a tool shows requests, too.
func (c *isolationCell) shown(method string, params any) string {
	c.t.Helper()
	newest := map[string][]string{}
	for owner := range c.owners {
		id, _ := c.send(owner)
		newest[owner] = []string{id}
		if method == "tools/call" {
			newest[owner] = append(newest[owner], c.ask(owner))
		}
	}
	b, err := c.peer.ask(c.t.Context(), method, params)
	if err != nil {
		return c.word(b, err)
	}
	ids := anyID.FindAllString(string(b), -1)
	var all []string
	for _, id := range ids {
		owner := c.sent[id]
		if owner == "" {
			return "a kubbi of nobody"
		}
		for _, id := range newest[owner] {
			if !slices.Contains(ids, id) {
				return "not the newest of " + owner + "'s"
			}
		}
		all = append(all, owner+"'s")
	}
	for owner := range c.owners {
		if strings.Contains(string(b), `"label":"`+owner) && !slices.Contains(all, owner+"'s") {
			all = append(all, owner+"'s label")
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " and ")
}

// nobodys is the id of a kubbi that never existed.
const nobodys = "00000000-0000-4000-8000-000000000000"

// asked makes a request and checks that it has its effect and shows no kubbi. If the
// answer is "not found", it checks that the answer for an id that never existed is the
// same.
func (c *isolationCell) asked(method string, params func(id string) map[string]any, id string) string {
	c.t.Helper()
	b, err := c.peer.ask(c.t.Context(), method, params(id))
	if err == nil {
		for _, seen := range anyID.FindAllString(string(b), -1) {
			if seen != id {
				return "shows " + c.sent[seen] + "'s kubbi"
			}
		}
		return "ok"
	}
	if word := c.word(b, err); id == "" || word == "401" {
		return word
	}
	if _, never := c.peer.ask(c.t.Context(), method, params(nobodys)); never == nil || strings.ReplaceAll(never.Error(), nobodys, id) != err.Error() {
		return fmt.Sprintf("%v, and for what was never there %v", err, never)
	}
	return "not found"
}

// request makes an HTTP request, in a new session of alice's if inSession. The session
// must exist afterwards, unless the request ended it.
func (c *isolationCell) request(method, path string, inSession bool) string {
	c.t.Helper()
	p := newPeer(c.srv.url, overHTTP, c.peer.header, c.peer.hc)
	var alice *peer
	if inSession {
		transport := overHTTP
		if path == "/message" {
			transport = overSSE
		}
		alice = c.srv.connect(c.t, transport, bearer(aliceToken))
		defer alice.close()
		if p.session = alice.session; path == "/message" {
			path = alice.endpoint
		}
	}
	var body []byte
	if method == http.MethodPost {
		body = []byte(`{"jsonrpc":"2.0","id":7000,"method":"ping"}`)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	resp, err := p.do(ctx, method, path, body)
	if err == nil {
		cancel() // some answers are streams
		_ = resp.Body.Close()
	}
	word := c.word(nil, err)
	if alice != nil && method != http.MethodGet {
		if _, err := alice.ask(c.t.Context(), "ping", nil); (err == nil) != (method != http.MethodDelete || word != "ok") {
			return word + fmt.Sprintf(", and alice's session: %v", err)
		}
	}
	return word
}

// file checks that a call with a path has its whole effect or none. The answer must not
// name a folder that the caller does not have.
func (c *isolationCell) file(path, tool string, arguments map[string]any) string {
	c.t.Helper()
	var id, url string
	if tool == "claim" {
		id, url = c.send("bob")
		arguments["claim_url"] = url
	}
	res, word := c.call(tool, arguments)
	for name, dir := range c.folders {
		if !slices.Contains(c.given[c.token], name) && strings.Contains(strings.ReplaceAll(res.Text(), path, ""), dir) {
			return word + ", and the answer names " + name + " folder: " + res.Text()
		}
	}
	if tool != "claim" {
		return c.owned(res, word)
	}
	if filepath.IsAbs(path) {
		if _, err := os.Stat(filepath.Join(path, "content.txt")); (err == nil) != (word == "ok") {
			return fmt.Sprintf("%s, and the file: %v", word, err)
		}
	}
	return c.spent(id, word)
}

// inReceived has alice save a payload into received, and returns the path.
func (c *isolationCell) inReceived() string {
	c.t.Helper()
	_, url := c.send("bob")
	text := c.owners["alice"].mustCall(c.t, "claim", map[string]any{"claim_url": url, "save_to": "received"}).Text()
	path := regexp.MustCompile(`[^"\s]*/received/[^"\s]*content\.txt`).FindString(text)
	if _, err := os.Stat(path); err != nil {
		c.t.Fatalf("%v: %s", err, text)
	}
	return path
}

// claimAfterAlice claims a kubbi that alice has used up, within the time in which alice
// may claim it again.
func (c *isolationCell) claimAfterAlice(again bool) string {
	c.t.Helper()
	_, url := c.send("bob")
	if res := c.owners["alice"].mustCall(c.t, "claim", map[string]any{"claim_url": url}); payload(res) != "of bob" {
		c.t.Fatalf("alice's claim: %s", res.Text())
	}
	arguments := map[string]any{"claim_url": url}
	if again {
		arguments["again"] = true
	}
	res, word := c.call("claim", arguments)
	if shown := strings.Contains(res.Text(), "of bob"); shown != (word == "ok") {
		return word + ": " + res.Text()
	}
	return word
}

// onRequest has the caller look at a request of alice's, claim its answer and withdraw it.
func (c *isolationCell) onRequest() string {
	c.t.Helper()
	alice := c.owners["alice"]
	id := c.ask("alice")
	var words []string
	for _, tool := range []string{"get", "claim", "delete"} {
		arguments := func(id string) map[string]any {
			if tool == "claim" {
				return map[string]any{"claim_url": id}
			}
			return map[string]any{"id": id}
		}
		res, word := c.call(tool, arguments(id))
		if strings.HasPrefix(res.Text(), "Nothing was claimed: this request has not been answered") {
			word = "ok" // she has the key of its answer
		}
		if never, _ := c.call(tool, arguments(nobodys)); word == "not found" && never.Text() != res.Text() {
			word = fmt.Sprintf("%s, and for what was never there: %s", res.Text(), never.Text())
		}
		words = append(words, word)
	}
	if words = slices.Compact(words); len(words) != 1 {
		return strings.Join(words, ", then ")
	}
	if got := alice.mustCall(c.t, "get", map[string]any{"id": id}).Field("status"); (got != "pending") != (words[0] == "ok") {
		return words[0] + ", but the request is " + got
	}
	return words[0]
}

// listens has the caller listen for updates of a kubbi, by version 2026-07-28, and the
// owner delete the kubbi.
func (c *isolationCell) listens(owner string) string {
	c.t.Helper()
	id, _ := c.send(owner)
	ctx, cancel := context.WithTimeout(c.t.Context(), testkit.Patience)
	defer cancel()
	p := newPeer(c.srv.url, overModern, c.peer.header, c.peer.hc)
	message := func(id string) []byte {
		params := withModern(map[string]any{"notifications": map[string]any{"resourceSubscriptions": []string{"kubbi://" + id}}})
		b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params})
		if err != nil {
			c.t.Fatal(err)
		}
		return b
	}
	resp, err := p.do(ctx, http.MethodPost, "/mcp", message(id))
	if err != nil {
		never, nerr := p.do(ctx, http.MethodPost, "/mcp", message(nobodys))
		if nerr == nil {
			_ = never.Body.Close()
			return c.word(nil, err) + ", and listens to what was never there"
		}
		word := c.word(nil, err)
		if word == "400" && strings.Contains(err.Error(), "no such resource") && err.Error() == strings.ReplaceAll(nerr.Error(), nobodys, id) {
			word = "not found"
		}
		return word
	}
	defer resp.Body.Close()
	c.owners[owner].mustCall(c.t, "delete", map[string]any{"id": id})
	lines := bufio.NewReader(resp.Body)
	for heard := ""; ; {
		line, err := lines.ReadString('\n')
		heard += line
		switch {
		case strings.Contains(line, "notifications/resources/updated") && strings.Contains(line, id):
			return "ok"
		case err != nil:
			return fmt.Sprintf("%v after %q", err, heard)
		}
	}
}

// withTasks adds to params that the client knows tasks.
func withTasks(params map[string]any) map[string]any {
	params["_meta"] = map[string]any{
		"io.modelcontextprotocol/protocolVersion": modernVersion,
		"io.modelcontextprotocol/clientCapabilities": map[string]any{
			"extensions": map[string]any{"io.modelcontextprotocol/tasks": map[string]any{}},
		},
	}
	return params
}

// newTask has alice claim from a server that does not answer, which becomes a task.
func (c *isolationCell) newTask() string {
	c.t.Helper()
	params := map[string]any{"name": "claim", "arguments": map[string]any{"claim_url": c.hanging + "/r/" + strings.Repeat("x", 43)}}
	b, err := c.alice().ask(c.t.Context(), "tools/call", withTasks(params))
	var created struct{ TaskID string }
	if err == nil {
		err = json.Unmarshal(b, &created)
	}
	if err != nil || created.TaskID == "" {
		c.t.Fatalf("no task: %s, %v", b, err)
	}
	return created.TaskID
}

// alice is alice, in the version that has tasks.
func (c *isolationCell) alice() *peer {
	return newPeer(c.srv.url, overModern, bearer(aliceToken), c.peer.hc)
}

// onTask makes all requests about a task of alice's. Whatever another caller does, the
// task is not cancelled.
func (c *isolationCell) onTask() string {
	c.t.Helper()
	id := c.task
	if id == "" || c.caller == "alice" { // who cancels hers
		id = c.newTask()
	}
	if c.caller != "alice" {
		c.task = id
	}
	params := func(id string) map[string]any {
		return withTasks(map[string]any{"taskId": id, "inputResponses": map[string]any{}})
	}
	var words []string
	for _, method := range onlyModern {
		words = append(words, c.asked(method, params, id))
	}
	b, err := c.alice().ask(c.t.Context(), "tasks/get", params(id))
	var task struct{ Status string }
	if err == nil {
		err = json.Unmarshal(b, &task)
	}
	if words = slices.Compact(words); len(words) > 1 || err != nil || task.Status == "cancelled" && c.caller != "alice" {
		return fmt.Sprintf("%q, and the task is %s, %v", words, task.Status, err)
	}
	return words[0]
}
