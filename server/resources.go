package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
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

// A kubbi that the caller has sent is a resource. It shows what the tool get shows,
// never the content or the claim URL.
const (
	kubbiScheme   = "kubbi://"
	kubbiTemplate = kubbiScheme + "{id}"
)

var errNoResource = errors.New("no such resource: a kubbi that you have sent is kubbi:// and its id, as send, send_files or list give it")

// idOf gives the id in a kubbi's URI. It accepts one spelling only, since a notification
// must have the URI of the subscription.
func idOf(uri string) (id string, ok bool) {
	id, ok = strings.CutPrefix(uri, kubbiScheme)
	return id, ok && len(id) == 36 && uuid.Validate(id) == nil && strings.ToLower(id) == id
}

// addResources adds the template of kubbis. mcp-go keeps one list for all callers, so
// listResources lists them.
func (s *Server) addResources(hooks *mcpserver.Hooks) {
	hooks.AddBeforeListResources(withoutCursor)
	hooks.AddOnError(explainNotFound)
	s.mcp.AddResourceTemplate(mcp.NewResourceTemplate(kubbiTemplate, "kubbi",
		mcp.WithTemplateTitle("A kubbi you sent"),
		mcp.WithTemplateDescription("Whether it is still active, how often and when it was claimed, and when it expires; neither its content nor its claim URL. "+
			"Subscribe to it to learn when it is claimed, used up, deleted or expired."),
		mcp.WithTemplateMIMEType(api.TypeJSON),
	), s.readResource)
}

// withoutCursor makes mcp-go list its own resources from the start. The cursor is for
// listResources.
func withoutCursor(_ context.Context, _ any, req *mcp.ListResourcesRequest) { req.Params.Cursor = "" }

// listResources answers resources/list with a page of the caller's kubbis. On the first
// page the resources that mcp-go knows come before them.
func (s *Server) listResources(ctx context.Context, c *transport.Call) mcp.JSONRPCMessage {
	number, resources, next, err := s.kubbiPage(ctx, c.Param("cursor"))
	if err != nil {
		c.Fail(err)
		s.logRequest(ctx, mcp.MethodResourcesList, false)
		return nil
	}
	answer := c.Dispatch(ctx)
	resp, ok := answer.(mcp.JSONRPCResponse)
	if !ok {
		return answer
	}
	res, ok := resp.Result.(mcp.ListResourcesResult)
	if !ok {
		return answer
	}
	if number == 1 {
		resources = append(res.Resources, resources...)
	}
	res.Resources, res.NextCursor = resources, next
	resp.Result = res
	return resp
}

// kubbiPage fetches the page of the caller's kubbis that a cursor stands for.
func (s *Server) kubbiPage(ctx context.Context, cursor jsontext.Value) (number int, resources []mcp.Resource, next mcp.Cursor, fault *transport.Error) {
	var c mcp.Cursor
	if cursor != nil && json.Unmarshal(cursor, &c) != nil {
		return 0, nil, "", &transport.Error{Code: mcp.INVALID_PARAMS, Message: "Invalid params for resources/list"}
	}
	number, anchor, ok := parseCursor(c)
	if !ok {
		return 0, nil, "", errCursor
	}
	p, err := s.cfg.Client.List(ctx, kubbi.ListParams{Page: number, Limit: api.MaxPageLimit, Anchor: anchor})
	switch {
	case err != nil && number > 1 && errors.Is(err, kubbi.ErrValidation):
		return 0, nil, "", errCursor
	case err != nil:
		return 0, nil, "", &transport.Error{Code: mcp.INTERNAL_ERROR, Message: "The list of kubbis can't be had. " + tools.ErrorText("list", err)}
	}
	resources = make([]mcp.Resource, 0, len(p.Kubbis))
	for _, k := range p.Kubbis {
		if _, ok := idOf(kubbiScheme + k.ID); ok { // else the service does not speak the Kubbi API
			resources = append(resources, resourceOf(k))
		}
	}
	if number < p.Pagination.TotalPages && len(p.Kubbis) > 0 {
		next = formatCursor(number+1, p.Anchor)
	}
	return number, resources, next, nil
}

// errCursor is the answer to a cursor that no list has given.
var errCursor = &transport.Error{Code: mcp.INVALID_PARAMS, Message: "Invalid params: cursor must be the nextCursor of an earlier resources/list"}

// formatCursor makes the cursor of a page. The anchor keeps the pages as they were when
// the list began.
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

// resourceOf describes a kubbi in the list.
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

// title says in a few words what a kubbi is, and its status. It contains no text that
// came from a service.
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

// lastModified is the time of a kubbi's last change. The API does not say when it was
// deleted.
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

// readResource answers resources/read for a kubbi.
func (s *Server) readResource(ctx context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	id, ok := idOf(req.Params.URI)
	if !ok {
		return nil, failNotFound(ctx, req.Params.URI)
	}
	k, err := s.cfg.Client.Get(ctx, id)
	switch {
	case errors.Is(err, kubbi.ErrNotFound):
		return nil, failNotFound(ctx, req.Params.URI)
	case err != nil:
		return nil, errors.New(tools.ErrorText("get", err))
	}
	text, err := tools.KubbiJSON(*k)
	if err != nil {
		return nil, transport.ErrInternal
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: req.Params.URI, MIMEType: api.TypeJSON, Text: string(text)}}, nil
}

// failNotFound makes the call in ctx fail: there is no resource with this URI. mcp-go
// would answer with an internal error. The answer repeats the URI unless it may be a claim
// URL.
func failNotFound(ctx context.Context, uri string) error {
	e := &transport.Error{Code: mcp.RESOURCE_NOT_FOUND, Message: errNoResource.Error()}
	if mcpserver.IsModernRequest(ctx) {
		e.Code = mcp.INVALID_PARAMS
	}
	if !mayBeClaimURL(uri) {
		e.Data = map[string]string{"uri": uri}
	}
	if c := transport.CallOf(ctx); c != nil {
		c.Fail(e)
	}
	return errNoResource
}

// explainNotFound replaces mcp-go's error about a resource that does not exist.
func explainNotFound(ctx context.Context, _ any, _ mcp.MCPMethod, message any, err error) {
	if req, ok := message.(*mcp.ReadResourceRequest); ok && errors.Is(err, mcpserver.ErrResourceNotFound) {
		_ = failNotFound(ctx, req.Params.URI)
	}
}

const maxRepeatedURI = 256 // bytes

func mayBeClaimURL(uri string) bool {
	if _, ok := idOf(uri); ok {
		return false
	}
	u, err := url.Parse(uri)
	if err != nil || len(uri) > maxRepeatedURI || slices.Contains([]string{"", "http", "https", "kubbi"}, u.Scheme) {
		return true
	}
	_, err = kubbi.ParseClaimURL(uri)
	return err == nil
}
