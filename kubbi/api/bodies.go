package api

import "encoding/json"

// In the answers below, a field with omitzero belongs to only one of the two kinds of
// kubbi, single content or package. Every other field is always present, and null if it has
// no value.

// CreateRequest is the body of POST /api/v1/kubbis: exactly one of Content and
// Files.
type CreateRequest struct {
	Content       json.RawMessage `json:"content,omitzero"` // any JSON value; a string for the text types
	ContentType   string          `json:"content_type,omitzero"`
	Files         []FileRequest   `json:"files,omitzero"`
	TTLSeconds    int             `json:"ttl_seconds"`
	MaxRetrievals *int            `json:"max_retrievals,omitzero"` // nil: unlimited until the TTL passes
	Metadata      json.RawMessage `json:"metadata,omitzero"`       // a JSON object
	Notify        *Notify         `json:"x_notify,omitzero"`       // where receipts go; nil: none are sent
}

// FileRequest is one file of a package.
type FileRequest struct {
	Name        string `json:"name"`
	Content     string `json:"content"` // text, or base64 where Encoding says so
	ContentType string `json:"content_type"`
	Role        string `json:"role,omitzero"`     // one of Roles
	Encoding    string `json:"encoding,omitzero"` // empty or EncodingBase64
}

// CreateResponse answers a create, 201.
type CreateResponse struct {
	ID             string          `json:"id"` // a UUID
	ClaimURL       string          `json:"claim_url"`
	ClaimToken     string          `json:"claim_token"`
	Status         Status          `json:"status"`
	ContentType    string          `json:"content_type,omitzero"`     // single content
	FileCount      *int            `json:"file_count,omitzero"`       // package
	TotalSizeBytes *int64          `json:"total_size_bytes,omitzero"` // package; decoded bytes
	MaxRetrievals  *int            `json:"max_retrievals"`
	Metadata       json.RawMessage `json:"metadata"`
	CreatedAt      Time            `json:"created_at"`
	ExpiresAt      Time            `json:"expires_at"`
}

// Kubbi is a list item, and the answer to GET /api/v1/kubbis/:id.
type Kubbi struct {
	ID               string          `json:"id"`
	Status           Status          `json:"status"`
	ContentType      string          `json:"content_type,omitzero"`     // single content
	FileCount        *int            `json:"file_count,omitzero"`       // package
	TotalSizeBytes   *int64          `json:"total_size_bytes,omitzero"` // package
	MaxRetrievals    *int            `json:"max_retrievals"`
	RetrievalCount   int             `json:"retrieval_count"`
	FirstRetrievedAt *Time           `json:"first_retrieved_at"`
	LastRetrievedAt  *Time           `json:"last_retrieved_at"`
	Metadata         json.RawMessage `json:"metadata"`
	CreatedAt        Time            `json:"created_at"`
	ExpiresAt        Time            `json:"expires_at"`
}

// ListResponse is one page of GET /api/v1/kubbis, newest first.
type ListResponse struct {
	Kubbis     []Kubbi    `json:"kubbis"`
	Pagination Pagination `json:"pagination"`
}

// Pagination says where a page stands.
type Pagination struct {
	Page       int `json:"page"` // from 1
	Limit      int `json:"limit"`
	Total      int `json:"total"`
	TotalPages int `json:"total_pages"`
}

// DeleteResponse answers DELETE /api/v1/kubbis/:id. The reference does not name its
// fields; the Python SDK accepts any object of strings.
type DeleteResponse struct {
	ID     string `json:"id"`
	Status Status `json:"status"`
}

// InspectResponse answers GET /r/:token/inspect and, with Claim, GET /r/:token.
type InspectResponse struct {
	Type           string           `json:"type,omitzero"`             // package: TypePackage
	KubbiID        string           `json:"kubbi_id,omitzero"`         // package
	ContentType    string           `json:"content_type,omitzero"`     // single content
	FileCount      *int             `json:"file_count,omitzero"`       // package
	TotalSizeBytes *int64           `json:"total_size_bytes,omitzero"` // package
	Status         Status           `json:"status"`
	MaxRetrievals  *int             `json:"max_retrievals"`
	RetrievalCount int              `json:"retrieval_count"`
	RemainingReads NullInt          `json:"remaining_reads,omitzero"` // package; null: unlimited
	Metadata       json.RawMessage  `json:"metadata"`
	Files          []FileDescriptor `json:"files,omitzero"` // package
	CreatedAt      Time             `json:"created_at"`
	ExpiresAt      Time             `json:"expires_at"`
	Claim          *ClaimHint       `json:"claim,omitzero"` // preview only
}

// FileDescriptor is a file of a package, without its content.
type FileDescriptor struct {
	Name        string  `json:"name"`
	ContentType string  `json:"content_type"`
	SizeBytes   int64   `json:"size_bytes"` // decoded
	Role        *string `json:"role"`
}

// ClaimHint tells a reader of the preview how to claim.
type ClaimHint struct {
	URL         string `json:"url"`
	Method      string `json:"method"`               // POST
	Description string `json:"description,omitzero"` // single content
	Message     string `json:"message,omitzero"`     // package
}

// ClaimResponse answers POST /r/:token/claim.
type ClaimResponse struct {
	Type        string          `json:"type,omitzero"`         // package: TypePackage
	Content     json.RawMessage `json:"content,omitzero"`      // single content: a JSON value, a string for the text types
	ContentType string          `json:"content_type,omitzero"` // single content
	FileCount   *int            `json:"file_count,omitzero"`   // package
	Files       []ClaimedFile   `json:"files,omitzero"`        // package
	Metadata    json.RawMessage `json:"metadata"`
	Burned      bool            `json:"burned,omitzero"` // this claim was the last allowed one
	CreatedAt   Time            `json:"created_at"`
	ExpiresAt   Time            `json:"expires_at"`
}

// ClaimedFile is a file of a claimed package. The Python SDK requires size_bytes; role and
// encoding may be null or absent.
type ClaimedFile struct {
	Name        string  `json:"name"`
	ContentType string  `json:"content_type"`
	SizeBytes   int64   `json:"size_bytes"` // decoded
	Role        *string `json:"role"`
	Content     string  `json:"content"`           // text, or base64 where Encoding says so
	Encoding    string  `json:"encoding,omitzero"` // empty or EncodingBase64
}

// Health answers GET /health: 200 with "ok" and "connected", 503 with
// "degraded" and "unreachable".
type Health struct {
	Status    string `json:"status"`
	Database  string `json:"database"`
	Timestamp Time   `json:"timestamp"`
}

// NullInt is a whole number that may be null and, with omitzero, absent.
type NullInt struct {
	Set bool // present on the wire
	Int *int // nil: null
}

// MarshalJSON writes the number or null.
func (n NullInt) MarshalJSON() ([]byte, error) { return json.Marshal(n.Int) }

// UnmarshalJSON reads a number or null.
func (n *NullInt) UnmarshalJSON(b []byte) error {
	n.Set = true
	return json.Unmarshal(b, &n.Int)
}
