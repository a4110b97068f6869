package tools

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// remaining says how often a kubbi can still be claimed: a number, or
// "unlimited", or "unknown" when the service would not tell. The zero value is
// unknown.
type remaining struct {
	known bool
	reads *int // nil: unlimited
}

func (r remaining) String() string {
	switch {
	case !r.known:
		return "unknown"
	case r.reads == nil:
		return api.Unlimited
	default:
		return strconv.Itoa(*r.reads)
	}
}

// MarshalJSONTo writes a number where there is one, else a word.
func (r remaining) MarshalJSONTo(enc *jsontext.Encoder) error {
	if r.known && r.reads != nil {
		return enc.WriteToken(jsontext.Int(int64(*r.reads)))
	}
	return enc.WriteToken(jsontext.String(r.String()))
}

// remainingOf works out what an inspect answer leaves: nothing in a terminal
// status, and no limit without max_retrievals.
func remainingOf(in *kubbi.Inspected) remaining {
	switch {
	case in.Status != api.StatusActive:
		return remaining{known: true, reads: new(0)}
	case in.MaxRetrievals == nil:
		return remaining{known: true}
	default:
		return remaining{known: true, reads: new(max(0, *in.MaxRetrievals-in.RetrievalCount))}
	}
}
