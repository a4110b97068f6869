// Package api is the wire of the Kubbi HTTP API: the paths, headers, bodies,
// limits and error codes that a client and a relay share. It mirrors the
// vendor's public API reference; where that is silent, the models of the
// official Python SDK 0.1.0 decide, and the doc comment says so.
//
// It has no behaviour except encoding, and imports only the standard library.
package api

import "strconv"

// Version is what every /api/v1 response carries in HeaderVersion.
const Version = "v1"

// Paths of the API. The last two are followed by a kubbi id or a claim token.
const (
	PathHealth = "/health"         // GET
	PathKubbis = "/api/v1/kubbis"  // POST creates, GET lists
	PathKubbi  = "/api/v1/kubbis/" // + id: GET, DELETE
	PathClaim  = "/r/"             // + claim token: GET previews; + "/inspect": GET; + "/claim": POST, DELETE
)

// Suffixes of a claim path.
const (
	SuffixInspect = "/inspect"
	SuffixClaim   = "/claim"
)

// Headers. The first two are the vendor's and the IETF draft's; those that
// start with Kubbi- are extensions of our relay, which the hosted service does not have.
const (
	HeaderVersion        = "API-Version"
	HeaderIdempotencyKey = "Idempotency-Key"

	// HeaderClaimGrace is on a claim made with an idempotency key: for how many
	// seconds the same key gets the same answer again. DELETE /r/:token/claim
	// with that key ends the grace at once.
	HeaderClaimGrace = "Kubbi-Claim-Grace"
	// HeaderRemainingReads is on every claim: the retrievals left after it, a
	// decimal number or "unlimited".
	HeaderRemainingReads = "Kubbi-Remaining-Reads"
	// HeaderPayloadSize is on the answers to inspect and preview of a single content:
	// the size in bytes of a text in UTF-8, or of a JSON value as it was sent.
	HeaderPayloadSize = "Kubbi-Payload-Size"
	// HeaderFileNames is on the answers to GET /health and to creates. The value
	// FileNamesAny says that file names may have letters of every script. The hosted
	// service accepts only ASCII letters, digits and . _ -.
	HeaderFileNames = "Kubbi-File-Names"
	// HeaderListAnchor is on every list page. Sent back as the query parameter
	// "anchor", it keeps later pages stable while new kubbis are created.
	HeaderListAnchor = "Kubbi-List-Anchor"
	// HeaderListStatus is on a list page that was filtered by the query parameter
	// "status", and holds that status.
	HeaderListStatus = "Kubbi-List-Status"

	// HeaderPrefer with "wait=N" asks for an answer when the kubbi or request has changed, or
	// after N seconds, at most MaxWait. An answer that has waited, or that need not wait, has
	// HeaderPreferenceApplied. Both are RFC 7240's.
	HeaderPrefer            = "Prefer"
	HeaderPreferenceApplied = "Preference-Applied"
	// HeaderSeen is on a request with HeaderPrefer: the state that the client knows, as Seen
	// writes it. The answer comes at once if the state is another one by now.
	HeaderSeen = "Kubbi-Seen"

	// These two are on answers to a request whose API key has a rate. Their form is that
	// of draft-ietf-httpapi-ratelimit-headers: "key";q=100;w=60 and "key";r=42;t=13.
	HeaderRateLimitPolicy = "RateLimit-Policy"
	HeaderRateLimit       = "RateLimit"
)

// MaxWait is how many seconds a relay waits at most: many clients and proxies give up at 60.
const MaxWait = 50

// Seen is the value of HeaderSeen for a status (of a kubbi or a request) and a retrieval
// count, which is 0 for a request.
func Seen[S ~string](status S, retrievals int) string {
	return string(status) + "/" + strconv.Itoa(retrievals)
}

// FileNamesAny is the value of HeaderFileNames.
const FileNamesAny = "every-script"

// Unlimited is the value of HeaderRemainingReads for a kubbi without max_retrievals.
const Unlimited = "unlimited"

// Status is where a kubbi is in its life.
type Status string

// The statuses. All but StatusActive are terminal: the payload is wiped.
const (
	StatusActive  Status = "active"
	StatusExpired Status = "expired" // its TTL has passed
	StatusBurned  Status = "burned"  // max_retrievals reached
	StatusDeleted Status = "deleted" // by its producer
)

// KubbiStatuses are all statuses, in the order of store.Status.
var KubbiStatuses = []Status{StatusActive, StatusExpired, StatusBurned, StatusDeleted}

// Content types that a single content may have.
const (
	TypeText     = "text/plain"
	TypeJSON     = "application/json"
	TypeMarkdown = "text/markdown"
	TypeCSV      = "text/csv"
)

// ContentTypes are the content types of a single content, in the order in
// which messages name them.
var ContentTypes = []string{TypeText, TypeJSON, TypeMarkdown, TypeCSV}

// Roles are the roles that a file may have.
var Roles = []string{"instructions", "data", "context", "config", "attachment"}

// EncodingBase64 is the only encoding a file may name.
const EncodingBase64 = "base64"

// TypePackage is the type field of a package's inspect and claim.
const TypePackage = "kubbi_package"

// KeyPrefix begins every API key of our relay.
const KeyPrefix = "kb_"

// Paging of lists.
const (
	DefaultPageLimit = 20
	MaxPageLimit     = 100
)

// Limits that every relay has.
const (
	MaxIdempotencyKey = 255       // bytes of an Idempotency-Key header
	MaxRetrievals     = 1<<31 - 1 // the largest max_retrievals
)

// Limits are the limits of a relay. The zero value accepts nothing: begin with
// DefaultLimits.
type Limits struct {
	ContentBytes  int64 // a single content: a text's UTF-8 bytes, a JSON value's serialized bytes
	PackageBytes  int64 // all files of a package together, decoded
	Files         int   // files in a package
	MetadataBytes int   // metadata, serialized
	MinTTLSeconds int
	MaxTTLSeconds int
}

// DefaultLimits are the limits of a relay that sets no others.
func DefaultLimits() Limits {
	return Limits{
		ContentBytes:  10 << 20,
		PackageBytes:  50 << 20,
		Files:         20,
		MetadataBytes: 1024,
		MinTTLSeconds: 60,
		MaxTTLSeconds: 24 * 60 * 60,
	}
}
