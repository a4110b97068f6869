package relay

import (
	"net/http"
	"strconv"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// look finds the active kubbi of the request's claim token, and opens its record. It
// counts nothing.
func (rl *Relay) look(r *http.Request) (*opened, error) {
	t, err := pathToken(r)
	if err != nil {
		return nil, err
	}
	var k *store.Kubbi
	err = rl.guessing(r, func() (err error) {
		k, err = rl.cfg.Store.Inspect(r.Context(), t.key(), rl.now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return open(rl.ringWith(r.Context(), k.MasterKey), k)
}

// inspect answers GET /r/:token/inspect.
func (rl *Relay) inspect(h http.Header, r *http.Request) (resp api.InspectResponse, err error) {
	k, err := rl.look(r)
	if err != nil {
		return resp, err
	}
	count, size := packageOf(k.Kubbi)
	resp = api.InspectResponse{
		ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size, Status: statusOf(k.Kubbi),
		MaxRetrievals: optional(k.MaxRetrievals), RetrievalCount: k.Retrievals,
		Metadata: k.metadata, CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
	if k.Package {
		resp.Type, resp.KubbiID = api.TypePackage, k.ID
		resp.RemainingReads = api.SomeInt(remaining(k.Kubbi, k.Retrievals))
		resp.Files = make([]api.FileDescriptor, len(k.files))
		for i, f := range k.files {
			resp.Files[i] = api.FileDescriptor{Name: f.name, ContentType: f.contentType, SizeBytes: f.size, Role: role(f)}
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

func role(f file) *string {
	if f.role == "" {
		return nil
	}
	return &f.role
}
