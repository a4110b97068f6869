package api

// A request asks a person or another agent for something: an extension of our relay, which
// the hosted service does not have. Its asker gets two URLs. Whoever has the request URL
// answers, once. The answer becomes an ordinary sealed kubbi, and only the asker has its claim
// URL. docs/wire.md describes requests.

// Paths of requests. The last two are followed by a request's id or its token.
const (
	PathRequests = "/api/v1/requests"  // GET lists, POST asks
	PathRequest  = "/api/v1/requests/" // + id: GET, DELETE
	PathAnswer   = "/q/"               // + request token: GET describes, POST answers
)

// RequestStatus is where a request is in its life.
type RequestStatus string

// RequestStatuses are all statuses, in the order of store.Status.
var RequestStatuses = []RequestStatus{RequestPending, RequestExpired, RequestAnswered, RequestWithdrawn}

// The statuses. All but RequestPending are terminal.
const (
	RequestPending   RequestStatus = "pending"
	RequestAnswered  RequestStatus = "answered"
	RequestExpired   RequestStatus = "expired"   // its TTL has passed without an answer
	RequestWithdrawn RequestStatus = "withdrawn" // by its asker
)

// Limits of a request.
const (
	MaxRequestMessage = 2000 // characters
	MaxRequestFields  = 20
	MaxFieldName      = 64 // bytes
)

// Field is one value that is asked for. Its name is that of an environment variable: a
// letter or "_", then letters, digits and "_", all ASCII.
type Field struct {
	Name   string `json:"name"`
	Secret bool   `json:"secret,omitzero"` // no model may see it
	Lines  bool   `json:"lines,omitzero"`  // it may have more than one line
}

// NameOK reports whether the field has such a name, of at most MaxFieldName bytes.
func (f Field) NameOK() bool {
	for i, c := range f.Name {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return f.Name != "" && len(f.Name) <= MaxFieldName
}

// AskRequest is the body of POST /api/v1/requests: either Fields or Files.
type AskRequest struct {
	Message    string  `json:"message"` // what is wanted and why, as plain text; the relay can read it
	Fields     []Field `json:"fields,omitzero"`
	Files      bool    `json:"files,omitzero"`    // the answer is one or more files
	TTLSeconds int     `json:"ttl_seconds"`       // of the request; its answer lives as long again
	Notify     *Notify `json:"x_notify,omitzero"` // where a RequestReceipt goes for each of its events, which are of RequestEvents
}

// AskResponse answers it, 201. RequestURL and ClaimURL are secrets.
type AskResponse struct {
	ID         string        `json:"id"` // a UUID
	Status     RequestStatus `json:"status"`
	RequestURL string        `json:"request_url"` // for whoever answers
	AnswerID   string        `json:"answer_id"`   // the id that the answer's kubbi will have
	ClaimURL   string        `json:"claim_url"`   // of the answer's kubbi, which does not exist yet
	CreatedAt  Time          `json:"created_at"`
	ExpiresAt  Time          `json:"expires_at"`
}

// AskedList is the answer to GET /api/v1/requests, newest first.
type AskedList struct {
	Requests   []Asked    `json:"requests"`
	Pagination Pagination `json:"pagination"`
}

// Asked is the answer to GET and DELETE /api/v1/requests/:id.
type Asked struct {
	ID        string        `json:"id"`
	Status    RequestStatus `json:"status"`
	Message   string        `json:"message,omitzero"` // only while it is pending
	CreatedAt Time          `json:"created_at"`
	ExpiresAt Time          `json:"expires_at"`
	EndedAt   *Time         `json:"ended_at"`
}

// Question answers GET /q/:token: what whoever answers must know.
type Question struct {
	Status    RequestStatus `json:"status"` // RequestPending; otherwise the answer is an error
	Message   string        `json:"message"`
	Fields    []Field       `json:"fields,omitzero"`
	Files     bool          `json:"files,omitzero"`
	Limits    AnswerLimits  `json:"limits"`
	CreatedAt Time          `json:"created_at"`
	ExpiresAt Time          `json:"expires_at"`
}

// AnswerLimits are the limits of an answer.
type AnswerLimits struct {
	Bytes         int64 `json:"bytes"` // sealed
	Files         int   `json:"files"`
	FileNameBytes int   `json:"file_name_bytes"`
}

// AnswerResponse answers POST /q/:token, 201. The body is that of a create, as JSON or as
// TypeRaw, of a sealed package of one file (SealedName, TypeSealed), without TTL, maximum of
// retrievals and notify. Its metadata is the seal alone. Idempotency-Key is honoured.
type AnswerResponse struct {
	Status     RequestStatus `json:"status"` // RequestAnswered
	AnsweredAt Time          `json:"answered_at"`
	ExpiresAt  Time          `json:"expires_at"` // of the answer
}
