package api

import "net/http"

// Code is the machine-readable word of an error answer.
type Code string

// The codes of the API reference. The last five, from CodeTooLarge on, are our relay's own.
const (
	CodeValidation       Code = "validation_error"
	CodeUnauthorized     Code = "unauthorized"
	CodeNotFound         Code = "not_found"
	CodeConflict         Code = "conflict"
	CodeExpired          Code = "expired"
	CodeGone             Code = "gone"
	CodeRateLimited      Code = "rate_limited"
	CodeQuotaExceeded    Code = "quota_exceeded"
	CodeInternal         Code = "internal_error"
	CodeNotImplemented   Code = "not_implemented"
	CodeTooLarge         Code = "payload_too_large"
	CodeMethodNotAllowed Code = "method_not_allowed"
	CodeUnavailable      Code = "unavailable"
	CodeStorageFull      Code = "insufficient_storage" // the message has the figures
	CodeDamaged          Code = "damaged"              // a stored kubbi was changed or is incomplete
)

// Statuses maps every code to its HTTP status.
var Statuses = map[Code]int{
	CodeValidation:       http.StatusBadRequest,
	CodeUnauthorized:     http.StatusUnauthorized,
	CodeNotFound:         http.StatusNotFound,
	CodeMethodNotAllowed: http.StatusMethodNotAllowed,
	CodeConflict:         http.StatusConflict,
	CodeExpired:          http.StatusGone,
	CodeGone:             http.StatusGone,
	CodeTooLarge:         http.StatusRequestEntityTooLarge,
	CodeRateLimited:      http.StatusTooManyRequests,
	CodeQuotaExceeded:    http.StatusTooManyRequests,
	CodeInternal:         http.StatusInternalServerError,
	CodeNotImplemented:   http.StatusNotImplemented,
	CodeUnavailable:      http.StatusServiceUnavailable,
	CodeStorageFull:      http.StatusInsufficientStorage,
	CodeDamaged:          http.StatusInternalServerError,
}

// ErrorBody is the envelope of every error answer.
type ErrorBody struct {
	Error    Code     `json:"error"`
	Message  string   `json:"message"`
	Messages []string `json:"messages,omitempty"` // only with CodeValidation, one entry for each fault
}
