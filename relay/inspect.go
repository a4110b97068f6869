package relay

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// consumerRequest is a request with a claim token.
type consumerRequest struct {
	token          token
	idempotencyKey string       // empty: none
	from           netip.Prefix // not valid: from within the process
}

// readToken decodes an inspect or a preview.
func (rl *Relay) readToken(_ http.Header, r *http.Request) (req consumerRequest, err error) {
	req.from = rl.source(r)
	req.token, err = pathToken(r)
	return req, err
}

// activeKubbi reads the active kubbi of a claim token and opens its record. It counts no
// retrieval. An unknown token counts as a guess.
func (rl *Relay) activeKubbi(ctx context.Context, req consumerRequest) (*opened, error) {
	k, err := rl.cfg.Store.Inspect(ctx, req.token.key(), rl.now())
	if errors.Is(err, store.ErrNotFound) {
		err = rl.missed(req.from, err)
	}
	if err != nil {
		return nil, err
	}
	o, err := open(rl.keyringWith(ctx, k.MasterKey), k)
	if err == nil {
		err = rl.checkAnswer(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// inspect answers GET /r/:token/inspect.
func (rl *Relay) inspect(ctx context.Context, h http.Header, req consumerRequest) (resp api.InspectResponse, err error) {
	k, err := rl.activeKubbi(ctx, req)
	if err != nil {
		return resp, err
	}
	count, size := packageOf(k.Kubbi)
	resp = api.InspectResponse{
		ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size, Status: statusOf(k.Kubbi),
		MaxRetrievals: optional(k.MaxRetrievals), RetrievalCount: k.Retrievals,
		Metadata: []byte(k.Metadata), CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
	if k.Package {
		resp.Type, resp.KubbiID = api.TypePackage, k.ID
		resp.RemainingReads = api.NullInt{Set: true, Int: remaining(k.Kubbi, k.Retrievals)}
		resp.Files = make([]api.FileDescriptor, len(k.Files))
		for i, f := range k.Files {
			resp.Files[i] = api.FileDescriptor{Name: f.Name, ContentType: f.ContentType, SizeBytes: f.SizeBytes, Role: optional(f.Role)}
		}
	} else {
		h.Set(api.HeaderPayloadSize, strconv.FormatInt(k.Size, 10))
	}
	return resp, nil
}

// preview answers GET /r/:token: the answer to inspect, and how to claim.
func (rl *Relay) preview(ctx context.Context, h http.Header, req consumerRequest) (api.InspectResponse, error) {
	resp, err := rl.inspect(ctx, h, req)
	if err != nil {
		return resp, err
	}
	resp.Claim = &api.ClaimHint{URL: rl.claimURL(req.token.text) + api.SuffixClaim, Method: http.MethodPost}
	if resp.Type == api.TypePackage {
		resp.Claim.Message = "POST to this address to retrieve all files; it counts as one retrieval"
	} else {
		resp.Claim.Description = "POST to this address to retrieve the content; it counts as one retrieval"
	}
	return resp, nil
}

// remaining is how many retrievals are left after a number of retrievals; nil: unlimited.
func remaining(k *store.Kubbi, retrievals int) *int {
	if k.MaxRetrievals == 0 {
		return nil
	}
	return new(max(0, k.MaxRetrievals-retrievals))
}
