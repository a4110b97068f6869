package api

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
)

// Event is something that happened to a kubbi or a request. Its producer or asker may get a
// receipt for it.
type Event string

// The events.
const (
	EventClaimed Event = "claimed" // a retrieval was counted
	EventBurned  Event = "burned"  // it was the last one; follows EventClaimed
	EventExpired Event = "expired" // its TTL has passed
	EventDeleted Event = "deleted" // by its producer
)

// The events of a request, which may have EventExpired, too.
const (
	EventAnswered  Event = "answered"
	EventWithdrawn Event = "withdrawn" // by its asker
)

// Events are all events of a kubbi, in the order in which messages name them. RequestEvents
// are those of a request.
var (
	Events        = []Event{EventClaimed, EventBurned, EventExpired, EventDeleted}
	RequestEvents = []Event{EventAnswered, EventExpired, EventWithdrawn}
)

// MaxNotifyURL is how long a notify_url may be, in bytes.
const MaxNotifyURL = 2048

// Notify asks for webhook receipts: an extension of our relay, which the hosted service
// does not have.
type Notify struct {
	URL    string  `json:"notify_url"`
	Events []Event `json:"events,omitzero"` // nil: all
}

// Headers of a receipt, from the Standard Webhooks specification 1.0.0. The signature
// covers id, timestamp and body, joined by full stops.
const (
	HeaderWebhookID        = "webhook-id"        // a UUID; the same in every attempt
	HeaderWebhookTimestamp = "webhook-timestamp" // of the attempt, in seconds since 1970
	HeaderWebhookSignature = "webhook-signature" // "v1," and the HMAC-SHA256 in base64
)

// These precede the Event in the type of a Receipt and of a RequestReceipt.
const (
	ReceiptPrefix        = "kubbi."
	RequestReceiptPrefix = "request."
)

// Receipt is the body that is posted to a notify_url. It holds no secret: no claim token,
// no metadata and no part of the payload.
type Receipt struct {
	Type      string       `json:"type"`
	Timestamp Time         `json:"timestamp"` // of the event
	Data      ReceiptKubbi `json:"data"`
}

// RequestReceipt is the Receipt of an event of a request.
type RequestReceipt struct {
	Type      string `json:"type"`
	Timestamp Time   `json:"timestamp"` // of the event
	Data      Asked  `json:"data"`
}

// ReceiptKubbi is a kubbi as it was right after the event.
type ReceiptKubbi struct {
	ID             string `json:"id"`
	Status         Status `json:"status"`
	ContentType    string `json:"content_type,omitzero"`     // single content
	FileCount      *int   `json:"file_count,omitzero"`       // package
	TotalSizeBytes *int64 `json:"total_size_bytes,omitzero"` // package
	MaxRetrievals  *int   `json:"max_retrievals"`
	RetrievalCount int    `json:"retrieval_count"`
	CreatedAt      Time   `json:"created_at"`
	ExpiresAt      Time   `json:"expires_at"`
}

// WebhookSecret derives the secret that signs the receipts of kubbis created with an API
// key, in the form that Standard Webhooks libraries take: whsec_ and the base64 of
// HKDF-SHA256 of the key's text, without salt, with the info "kubbi-mcp/webhook/1", 32
// bytes. The API key can't be derived from it.
func WebhookSecret(apiKey string) (string, error) {
	secret, err := hkdf.Key(sha256.New, []byte(apiKey), nil, "kubbi-mcp/webhook/1", 32)
	if err != nil {
		return "", err
	}
	return WebhookSecretPrefix + base64.StdEncoding.EncodeToString(secret), nil
}

// WebhookSecretPrefix begins every such secret.
const WebhookSecretPrefix = "whsec_"
