package relay

import (
	"net/http"
	"strconv"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// look finds the active kubbi of the request's claim token. It counts nothing.
func (rl *Relay) look(r *http.Request) (k *store.Kubbi, err error) {
	t, err := pathToken(r)
	if err != nil {
		return nil, err
	}
	err = rl.guessing(r, func() (err error) {
		k, err = rl.cfg.Store.Inspect(r.Context(), t.hash(), rl.now())
		return err
	})
	return k, err
}

// inspect answers GET /r/:token/inspect.
func (rl *Relay) inspect(h http.Header, r *http.Request) (resp api.InspectResponse, err error) {
	k, err := rl.look(r)
	if err != nil {
		return resp, err
	}
	count, size := packageOf(k)
	resp = api.InspectResponse{
		ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size, Status: statusOf(k),
		MaxRetrievals: optional(k.MaxRetrievals), RetrievalCount: k.Retrievals,
		Metadata: k.Metadata, CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
	if k.Package {
		resp.Type, resp.KubbiID = api.TypePackage, k.ID
		resp.RemainingReads = api.SomeInt(remaining(k, k.Retrievals))
		resp.Files = make([]api.FileDescriptor, len(k.Files))
		for i, f := range k.Files {
			resp.Files[i] = api.FileDescriptor{Name: f.Name, ContentType: f.ContentType, SizeBytes: f.Size, Role: role(f)}
		}
	} else {
		h.Set(api.HeaderPayloadSize, strconv.FormatInt(k.Size, 10))
	}
	return resp, nil
}

// preview answers GET /r/:token: what inspect says, and how to claim.
func (rl *Relay) preview(h http.Header, r *http.Request) (api.InspectResponse, error) {
	resp, err := rl.inspect(h, r)
	if err != nil {
		return resp, err
	}
	resp.Claim = &api.ClaimHint{
		URL:    rl.claimURL(r.PathValue("token")) + api.SuffixClaim,
		Method: http.MethodPost,
	}
	if resp.Type == api.TypePackage {
		resp.Claim.Message = "POST to this address to retrieve all files; it counts as one retrieval"
	} else {
		resp.Claim.Description = "POST to this address to retrieve the content; it counts as one retrieval"
	}
	return resp, nil
}

// remaining gives the retrievals left after that many, nil for unlimited.
func remaining(k *store.Kubbi, retrievals int) *int {
	if k.MaxRetrievals == 0 {
		return nil
	}
	n := max(0, k.MaxRetrievals-retrievals)
	return &n
}

func role(f store.File) *string {
	if f.Role == "" {
		return nil
	}
	return &f.Role
}
