package relay

import (
	"log/slog"
	"net/http"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/kubbi/api"
)

// health answers GET /health.
func (rl *Relay) health(w http.ResponseWriter, r *http.Request) {
	status, body := http.StatusOK, api.Health{Status: "ok", Database: "connected", Timestamp: api.NewTime(rl.now())}
	if err := rl.ping(r.Context()); err != nil {
		rl.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "store is unreachable", slog.Any("err", err))
		status, body.Status, body.Database = http.StatusServiceUnavailable, "degraded", "unreachable"
	}
	b, err := json.Marshal(body)
	if err != nil {
		rl.answerError(w, r, err)
		return
	}
	_ = writeJSON(w, status, b)
}
