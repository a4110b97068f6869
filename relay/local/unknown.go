package local

import (
	"context"
	"net/http"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// The cure where a claim URL came from another machine.
const howToShare = "two machines hand over through a relay that both reach: run kubbi-mcp relay on one of them, or use the hosted service, " +
	"set KUBBI_BASE_URL (--base-url) and KUBBI_API_KEY (--api-key) on both, and let the sender send it again"

// explainUnknown answers a request of this process about a token that nobody
// knows: is it dead, or from elsewhere?
func (r *Relay) explainUnknown(ctx context.Context, w http.ResponseWriter, self identity, token string) {
	relay.WriteError(w, api.CodeNotFound, "no such kubbi", r.whyUnknown(ctx, self, token)...)
}

func (r *Relay) whyUnknown(ctx context.Context, self identity, token string) []string {
	if madeBy(self.public, token) {
		return []string{"it was made here, has ended long ago, and is wiped", "ask the sender for a new one"}
	}
	why := []string{"it was not made in this kubbi-mcp's data directory, nor by another kubbi-mcp that runs on this machine now"}
	switch r.holderOf(ctx, r.addr, self) {
	case stranger:
		why = append(why, "the address "+r.addr+" is held by another program")
	case service:
		if r.cfg.TrustAddress {
			return []string{"the relay that has the address " + r.addr + " does not know it either", "ask the sender for a new one"}
		}
		why = append(why, "the address "+r.addr+" is held by another program, a relay of some kind: your user can allow it with --allow-origin "+r.cfg.Origin+" (KUBBI_ALLOW_ORIGINS)")
	}
	return append(why,
		"a claim URL with the address "+r.addr+" works only on the machine, or in the container, where it was made, and while a kubbi-mcp of the same user or host runs there",
		howToShare)
}
