package relay

import (
	"net/http"
	"strings"

	"kubbi-mcp/kubbi/api"
)

// routes is the whole API.
func (rl *Relay) routes() *http.ServeMux {
	mux := http.NewServeMux()
	route := func(path string, methods map[string]http.HandlerFunc) {
		for m, h := range methods {
			mux.Handle(m+" "+path, h)
		}
		mux.Handle(path, rl.wrongMethod(methods))
	}
	route(api.PathHealth, map[string]http.HandlerFunc{
		"GET": rl.health,
	})
	route(api.PathKubbis, map[string]http.HandlerFunc{
		"POST": serveJSON(rl, http.StatusCreated, rl.create),
		"GET":  serveJSON(rl, http.StatusOK, rl.list),
	})
	route(api.PathKubbi+"{id}", map[string]http.HandlerFunc{
		"GET":    serveJSON(rl, http.StatusOK, rl.get),
		"DELETE": serveJSON(rl, http.StatusOK, rl.delete),
	})
	route(api.PathClaim+"{token}", map[string]http.HandlerFunc{
		"GET": rl.forPeople(rl.previewPage, serveJSON(rl, http.StatusOK, rl.preview)),
	})
	route(api.PathClaim+"{token}"+api.SuffixInspect, map[string]http.HandlerFunc{
		"GET": serveJSON(rl, http.StatusOK, rl.inspect),
	})
	route(api.PathClaim+"{token}"+api.SuffixClaim, map[string]http.HandlerFunc{
		"POST":   rl.forPeople(rl.claimPage, rl.serve(rl.claim)),
		"DELETE": rl.serve(rl.release),
	})
	mux.Handle("/", rl.serve(noRoute))
	return mux
}

// noRoute answers what is no route: 501 for another version of the API, else 404.
func noRoute(_ http.ResponseWriter, r *http.Request) error {
	if v, ok := apiVersion(r.URL.Path); ok && v != api.Version {
		return fail(api.CodeNotImplemented, "API version "+v+" does not exist; this relay speaks "+api.Version)
	}
	return fail(api.CodeNotFound, "no such route")
}

// wrongMethod answers 405 and names the methods that the path has.
func (rl *Relay) wrongMethod(methods map[string]http.HandlerFunc) http.HandlerFunc {
	var allow []string
	for _, m := range []string{"GET", "HEAD", "POST", "DELETE"} {
		// A mux answers HEAD where there is GET.
		if _, ok := methods[strings.Replace(m, "HEAD", "GET", 1)]; ok {
			allow = append(allow, m)
		}
	}
	list := strings.Join(allow, ", ")
	return rl.serve(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", list)
		return fail(api.CodeMethodNotAllowed, "this route allows "+list)
	})
}

// apiVersion gives the version that a path under /api/ names, as v1.
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
