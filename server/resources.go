package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
)

// A kubbi that the caller has sent is a resource: what get says of it, never
// its content or its claim URL.
const (
	kubbiScheme   = "kubbi://"
	kubbiTemplate = kubbiScheme + "{id}"
)

var errNoResource = errors.New("no such resource: a kubbi that you have sent is kubbi:// and its id, as send, send_files or list give it")

// idOf gives the id in a kubbi's URI.
func idOf(uri string) (id string, ok bool) {
	id, ok = strings.CutPrefix(uri, kubbiScheme)
	// The one spelling that the API gives: news of a kubbi must name the URI that was subscribed to.
	return id, ok && len(id) == 36 && uuid.Validate(id) == nil && strings.ToLower(id) == id
}

// addResources adds the template, and what lists, reads and watches its resources. mcp-go knows
// only lists that are the same for all, so ours is made in its hooks.
func (s *Server) addResources(hooks *mcpserver.Hooks) {
	hooks.AddBeforeListResources(useList)
	hooks.AddAfterListResources(fillList)
	hooks.AddBeforeReadResource(s.findResource)
	s.mcp.AddResourceTemplate(mcp.NewResourceTemplate(kubbiTemplate, "kubbi",
		mcp.WithTemplateTitle("A kubbi you sent"),
		mcp.WithTemplateDescription("Whether it is still active, how often and when it was claimed, and when it expires; neither its content nor its claim URL. "+
			"Subscribe to it to learn when it is claimed, used up, deleted or expired."),
		mcp.WithTemplateMIMEType(api.TypeJSON),
	), s.readResource)
}

// kubbiPage is a page of resources/list.
type kubbiPage struct {
	number    int
	resources []mcp.Resource
	next      mcp.Cursor
}

// fetchList fetches the page that a resources/list asks for. A fault is the
// answer to it.
func (s *Server) fetchList(ctx context.Context, r *request, cursor jsontext.Value) *transport.Error {
	var c mcp.Cursor
	if cursor != nil && json.Unmarshal(cursor, &c) != nil {
		return &transport.Error{Code: mcp.INVALID_PARAMS, Message: "Invalid params for resources/list"}
	}
	page, anchor, ok := parseCursor(c)
	if !ok {
		return errCursor
	}
	p, anchor, err := s.client.ListFrom(ctx, kubbi.ListParams{Page: page, Limit: api.MaxPageLimit}, anchor)
	switch {
	case err != nil && page > 1 && errors.Is(err, kubbi.ErrValidation):
		return errCursor
	case err != nil:
		return &transport.Error{Code: mcp.INTERNAL_ERROR, Message: "The list of kubbis can't be had. " + tools.ErrorText("list", err)}
	}
	r.page = &kubbiPage{number: page, resources: make([]mcp.Resource, 0, len(p.Kubbis))}
	for _, k := range p.Kubbis {
		if _, ok := idOf(kubbiScheme + k.ID); !ok {
			continue // a service that says so does not speak the API
		}
		r.page.resources = append(r.page.resources, resourceOf(k))
	}
	if page < p.Pagination.TotalPages && len(p.Kubbis) > 0 {
		r.page.next = formatCursor(page+1, anchor)
	}
	return nil
}

// useList has mcp-go list what others have registered, from its start.
func useList(_ context.Context, _ any, req *mcp.ListResourcesRequest) { req.Params.Cursor = "" }

// fillList puts our page behind what others have registered, which is on the
// first page alone.
func fillList(ctx context.Context, _ any, _ *mcp.ListResourcesRequest, result *mcp.ListResourcesResult) {
	page := requestOf(ctx).page
	if page == nil {
		return // a transport without a request
	}
	if page.number > 1 {
		result.Resources = nil
	}
	result.Resources = append(result.Resources, page.resources...)
	if result.Resources == nil {
		result.Resources = []mcp.Resource{}
	}
	result.NextCursor = page.next
}

// errCursor is the answer to a cursor that no list has given.
var errCursor = &transport.Error{Code: mcp.INVALID_PARAMS, Message: "Invalid params: cursor must be the nextCursor of an earlier resources/list"}

// formatCursor writes where a list goes on: a page, and the anchor that keeps it
// what it was.
func formatCursor(page int, anchor string) mcp.Cursor {
	return mcp.Cursor(base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(page) + " " + anchor)))
}

const maxCursor = 256 // bytes

func parseCursor(c mcp.Cursor) (page int, anchor string, ok bool) {
	if c == "" {
		return 1, "", true
	}
	b, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil || len(c) > maxCursor {
		return 0, "", false
	}
	number, anchor, found := strings.Cut(string(b), " ")
	page, err = strconv.Atoi(number)
	return page, anchor, found && err == nil && page > 1
}

// resourceOf shows a kubbi in the list.
func resourceOf(k kubbi.Kubbi) mcp.Resource {
	r := mcp.Resource{
		URI:      kubbiScheme + k.ID,
		Name:     k.ID,
		Title:    title(k),
		MIMEType: api.TypeJSON,
	}
	if text, err := tools.KubbiJSON(k); err == nil {
		size := int64(len(text))
		r.Size = &size
	}
	r.Annotations = &mcp.Annotations{LastModified: lastModified(k).UTC().Format(api.TimeLayout)}
	return r
}

// title says in a few words what a kubbi is and how it stands. A service's words
// are not among them.
func title(k kubbi.Kubbi) string {
	what := "content of another type"
	switch {
	case slices.Contains(api.ContentTypes, k.ContentType):
		what = k.ContentType
	case k.FileCount != nil && *k.FileCount == 1:
		what = "1 file"
	case k.FileCount != nil:
		what = strconv.Itoa(*k.FileCount) + " files"
	}
	claims := strconv.Itoa(k.RetrievalCount)
	if k.MaxRetrievals != nil {
		claims += " of " + strconv.Itoa(*k.MaxRetrievals)
	}
	status := k.Status
	if !slices.Contains(api.KubbiStatuses, status) {
		status = "of unknown status"
	}
	return fmt.Sprintf("%s, %s, claimed %s", what, status, claims)
}

// lastModified is when a kubbi last changed, as far as the API says: not when
// it was deleted.
func lastModified(k kubbi.Kubbi) time.Time {
	at := k.CreatedAt.Time
	if k.LastRetrievedAt != nil {
		at = k.LastRetrievedAt.Time
	}
	if k.Status == api.StatusExpired {
		at = k.ExpiresAt.Time
	}
	return at
}

// findResource looks a kubbi up before mcp-go does, which has no way to say
// from a handler that there is no such resource: it must find no handler.
func (s *Server) findResource(ctx context.Context, _ any, req *mcp.ReadResourceRequest) {
	if !strings.HasPrefix(req.Params.URI, kubbiScheme) {
		return
	}
	r := requestOf(ctx)
	id, ok := idOf(req.Params.URI)
	if ok {
		r.kubbi, r.kubbiErr = s.client.Get(ctx, id)
	}
	if !ok || errors.Is(r.kubbiErr, kubbi.ErrNotFound) {
		// What is no kubbi's URI may be a claim URL, which is not repeated.
		req.Params.URI = kubbiScheme + "<id> of a kubbi that you have sent"
	}
}

// readResource gives what findResource has found.
func (s *Server) readResource(ctx context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	r := requestOf(ctx)
	if r.kubbiErr != nil {
		return nil, errors.New(tools.ErrorText("get", r.kubbiErr))
	}
	if r.kubbi == nil {
		return nil, transport.ErrInternal // a transport without a request
	}
	text, err := tools.KubbiJSON(*r.kubbi)
	if err != nil {
		return nil, transport.ErrInternal
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: req.Params.URI, MIMEType: api.TypeJSON, Text: string(text)}}, nil
}
