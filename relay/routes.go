package relay

import (
	"net/http"
	"slices"
	"strings"

	"kubbi-mcp/internal/httpguard"
	"kubbi-mcp/kubbi/api"
)

// Operation is what a request asks for.
type Operation string

// The operations.
const (
	OpCreate   Operation = "create"
	OpList     Operation = "list"
	OpGet      Operation = "get"
	OpDelete   Operation = "delete"
	OpPreview  Operation = "preview"
	OpInspect  Operation = "inspect"
	OpClaim    Operation = "claim"
	OpRelease  Operation = "release"
	OpAsk      Operation = "ask"
	OpRequests Operation = "requests"
	OpAsked    Operation = "asked"
	OpWithdraw Operation = "withdraw"
	OpQuestion Operation = "question"
	OpAnswer   Operation = "answer"
	OpHome     Operation = "home"
	OpHealth   Operation = "health"
	OpOther    Operation = "other" // no route
)

// Operations lists all operations.
func Operations() []Operation {
	return []Operation{OpCreate, OpList, OpGet, OpDelete, OpPreview, OpInspect, OpClaim, OpRelease,
		OpAsk, OpRequests, OpAsked, OpWithdraw, OpQuestion, OpAnswer, OpHome, OpHealth, OpOther}
}

// route is one row of the API. A GET route answers HEAD too.
type route struct {
	operation    Operation
	method, path string
	handle       handler
}

// routes is the whole API. GET comes first among the routes of a path.
func (rl *Relay) routes() []route {
	const (
		byID     = api.PathKubbi + "{id}"
		byToken  = api.PathClaim + "{token}"
		askedID  = api.PathRequest + "{id}"
		toAnswer = api.PathAnswer + "{token}"
	)
	return []route{
		{OpHome, "GET", "/{$}", orPage(rl.homePage, noRoute)},
		{OpHealth, "GET", api.PathHealth, rl.health},
		{OpList, "GET", api.PathKubbis, serve(http.StatusOK, rl.readList, rl.list)},
		{OpCreate, "POST", api.PathKubbis, serve(http.StatusCreated, rl.readCreate, rl.create)},
		{OpGet, "GET", byID, serveWaiting(rl, rl.readKubbiID, rl.get, kubbiState)},
		{OpDelete, "DELETE", byID, serve(http.StatusOK, rl.readKubbiID, rl.delete)},
		{OpPreview, "GET", byToken, orPage(rl.previewPage, serveWaiting(rl, rl.readToken, rl.preview, inspectState))},
		{OpInspect, "GET", byToken + api.SuffixInspect, serveWaiting(rl, rl.readToken, rl.inspect, inspectState)},
		{OpClaim, "POST", byToken + api.SuffixClaim, orPage(rl.claimPage, rl.claim)},
		{OpRelease, "DELETE", byToken + api.SuffixClaim, rl.release},
		{OpRequests, "GET", api.PathRequests, serve(http.StatusOK, rl.readRequestList, rl.listRequests)},
		{OpAsk, "POST", api.PathRequests, serve(http.StatusCreated, rl.readCreate, rl.ask)},
		{OpAsked, "GET", askedID, serveWaiting(rl, rl.readRequestID, rl.asked, askedState)},
		{OpWithdraw, "DELETE", askedID, serve(http.StatusOK, rl.readRequestID, rl.withdraw)},
		{OpQuestion, "GET", toAnswer, orPage(rl.questionPage, serve(http.StatusOK, rl.readAnswerer, rl.question))},
		{OpAnswer, "POST", toAnswer, serve(http.StatusCreated, rl.readAnswer, rl.answer)},
	}
}

// makeMux makes the mux of the routes.
func (rl *Relay) makeMux() {
	rl.mux, rl.operations = http.NewServeMux(), map[string]Operation{}
	methods := map[string][]string{}
	for _, rt := range rl.routes() {
		pattern := rt.method + " " + rt.path
		rl.operations[pattern] = rt.operation
		rl.mux.Handle(pattern, rl.handlerFunc(rt.handle))
		methods[rt.path] = append(methods[rt.path], rt.method)
	}
	for path, allowed := range methods {
		rl.mux.Handle(path, rl.handlerFunc(wrongMethod(allowed)))
	}
	rl.mux.Handle("/", rl.handlerFunc(noRoute))
}

// operation gives the operation of a request that has passed the mux.
func (rl *Relay) operation(r *http.Request) Operation {
	if op, ok := rl.operations[r.Pattern]; ok {
		return op
	}
	return OpOther
}

// noRoute answers a path without a route: 501 for another version of the API, else 404.
func noRoute(_ http.ResponseWriter, r *http.Request) error {
	if v, ok := apiVersion(r.URL.Path); ok && v != api.Version {
		return fail(api.CodeNotImplemented, "API version "+v+" does not exist; this relay speaks "+api.Version)
	}
	return fail(api.CodeNotFound, "no such route")
}

// wrongMethod answers 405 and names the methods that the path has.
func wrongMethod(methods []string) handler {
	if i := slices.Index(methods, "GET"); i >= 0 {
		methods = slices.Insert(methods, i+1, "HEAD")
	}
	list := strings.Join(methods, ", ")
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", list)
		return fail(api.CodeMethodNotAllowed, "this route allows "+list)
	}
}

// apiVersion is the version in a path under /api/, such as v1.
func apiVersion(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		return "", false
	}
	v, _, _ := strings.Cut(rest, "/")
	if len(v) < 2 || len(v) > 8 || v[0] != 'v' || strings.Trim(v[1:], "0123456789") != "" {
		return "", false
	}
	return v, true
}

// muxPath reports whether the mux serves a request's path as it is. It redirects
// every other path, and the redirect would repeat the claim token.
func muxPath(r *http.Request) bool {
	return r.Method != http.MethodConnect && httpguard.CleanPath(r.URL.Path)
}
