package relay

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// maxNotify is the longest x_notify that is read, in bytes.
const maxNotify = 128 << 10

// notify reads x_notify, a member that only our relay has. null counts as absent.
func (v *validator) notify(s span) {
	if v.null(s) {
		return
	}
	if v.limits.notify == nil {
		v.add("x_notify can't be given: the operator of this relay has not turned webhook receipts on")
		return
	}
	if s.end-s.start > maxNotify {
		v.addf("x_notify must be at most %d bytes", maxNotify)
		return
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(s.in(v.body), &members) != nil {
		v.add("x_notify must be an object")
		return
	}
	for name := range members {
		if name != "notify_url" && name != "events" {
			v.add("x_notify must have no members but notify_url and events")
			break
		}
	}
	n := &api.Notify{}
	switch value := members["notify_url"]; {
	case len(value) == 0 || value.Kind() == 'n':
		v.add("x_notify.notify_url is required")
	case json.Unmarshal(value, &n.URL) != nil:
		v.add("x_notify.notify_url must be a string")
	default:
		if fault := v.limits.notify.Fault(n.URL); fault != "" {
			v.add("x_notify.notify_url " + fault)
		}
	}
	if value := members["events"]; len(value) > 0 && value.Kind() != 'n' {
		v.events(n, value)
	}
	v.draft.notify = n
}

func (v *validator) events(n *api.Notify, value jsontext.Value) {
	known := api.Events
	if v.draft.ask != nil {
		known = api.RequestEvents
	}
	var events []jsontext.Value
	if json.Unmarshal(value, &events) != nil || len(events) < 1 || len(events) > len(known) {
		v.addf("x_notify.events must be an array of 1 to %d events", len(known))
		return
	}
	for i, value := range events {
		at := fmt.Sprintf("x_notify.events[%d]", i)
		var e api.Event
		switch {
		case value.Kind() != '"' || json.Unmarshal(value, &e) != nil:
			v.add(at + " must be a string")
		case !slices.Contains(known, e):
			v.addf("%s must be one of %s", at, eventNames(known))
		case slices.Contains(n.Events, e):
			v.add(at + " must not be there twice")
		}
		n.Events = append(n.Events, e)
	}
}

func eventNames(events []api.Event) string {
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = string(e)
	}
	return strings.Join(names, ", ")
}

// sealTarget seals the URL for a new kubbi's receipts, and the secret that signs them. The
// secret is derived from the API key, which only the create request has.
func (rl *Relay) sealTarget(ring *atrest.Keyring, k *store.Kubbi, n *api.Notify, apiKey string) ([]byte, error) {
	secret, err := api.WebhookSecret(apiKey)
	if err != nil {
		return nil, fmt.Errorf("make webhook secret: %w", err)
	}
	plain, err := json.Marshal(webhook.Target{URL: n.URL, Events: n.Events, Secret: secret})
	if err != nil {
		return nil, errors.New("seal webhook target: it can't be written as JSON")
	}
	key, err := targetKey(ring, k)
	if err != nil {
		return nil, err
	}
	return key.SealBytes(rl.cfg.Rand, boundFields(k), plain)
}

// targetKey is the key of a kubbi's webhook target. The target is needed after the kubbi has
// ended, so the key does not depend on the kubbi's secret.
func targetKey(ring *atrest.Keyring, k *store.Kubbi) (*atrest.Key, error) {
	return ring.Key(k.MasterKey, nil, atrest.Notify, []byte(k.ID))
}

// openNotice returns the target and the receipt of a notice. If a master key is missing, it
// does not reload the keyring: the notice is delivered later.
func (rl *Relay) openNotice(n *store.Notice) (*webhook.Target, *webhook.Receipt, error) {
	k := &n.Kubbi
	key, err := targetKey(rl.cfg.Keyring.Current(), k)
	if err != nil {
		return nil, nil, err
	}
	plain, err := key.OpenBytes(boundFields(k), k.Notify)
	if err != nil {
		return nil, nil, err
	}
	var to webhook.Target
	if err := json.Unmarshal(plain, &to); err != nil {
		return nil, nil, errors.New("webhook target is not valid JSON") // err may quote it
	}
	if isRequest(k) {
		return &to, requestReceipt(n), nil
	}
	return &to, receiptOf(n), nil
}

func receiptOf(n *store.Notice) *webhook.Receipt {
	k := &n.Kubbi
	count, size := packageOf(k)
	event := api.Events[n.Event] // the events of store and api have the same order
	r := &api.Receipt{
		Type: api.ReceiptPrefix + string(event), Timestamp: api.NewTime(n.At),
		Data: api.ReceiptKubbi{
			ID: k.ID, Status: statusOf(k), ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
			MaxRetrievals: optional(k.MaxRetrievals), RetrievalCount: k.Retrievals,
			CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
		},
	}
	return &webhook.Receipt{Event: event, Type: r.Type, Body: r}
}

// requestReceipt is receiptOf for a request. The claim that ends it gives one receipt, not two.
func requestReceipt(n *store.Notice) *webhook.Receipt {
	event, ok := map[store.Event]api.Event{
		store.EventBurned: api.EventAnswered, store.EventExpired: api.EventExpired, store.EventDeleted: api.EventWithdrawn,
	}[n.Event]
	if !ok {
		return nil
	}
	r := &api.RequestReceipt{Type: api.RequestReceiptPrefix + string(event), Timestamp: api.NewTime(n.At), Data: askedOf(&opened{Kubbi: &n.Kubbi, wiped: true})}
	return &webhook.Receipt{Event: event, Type: r.Type, Body: r}
}

// wakeSender makes the sender deliver new notices at once.
func (rl *Relay) wakeSender() {
	if rl.sender != nil {
		rl.sender.Wake()
	}
}
