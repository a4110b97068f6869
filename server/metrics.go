package server

import (
	"net/http"

	"kubbi-mcp/tools"
)

// Metrics counts what callers do. A nil one counts nothing.
type Metrics struct{}

func (m *Metrics) sessionOpened(transport string) {}
func (m *Metrics) sessionClosed(transport string) {}
func (m *Metrics) streamOpened(transport string)  {}
func (m *Metrics) streamClosed(transport string)  {}
func (m *Metrics) refused(reason string)          {}

func (m *Metrics) called(r *request, c tools.Call) {}

// Handler serves the metrics as Prometheus reads them.
func (m *Metrics) Handler() http.Handler { return http.NotFoundHandler() }

// NewMetrics makes metrics for a version of this program.
func NewMetrics(version string) *Metrics { return &Metrics{} }
