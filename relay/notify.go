package relay

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// notify reads x_notify, our own member: null is none.
func (v *validator) notify(wire *wireNotify) {
	switch {
	case wire.kind == 0 || wire.kind == 'n':
		return
	case v.limits.notify == nil:
		v.add("x_notify can't be given: the operator of this relay has not turned webhook receipts on")
		return
	case wire.kind != '{':
		v.add("x_notify must be an object")
		return
	}
	if wire.unknown {
		v.add("x_notify must have no members but notify_url and events")
	}
	n := &api.Notify{}
	var ok bool
	if n.URL, ok = v.text("x_notify.notify_url", wire.url, true); ok {
		if fault := v.limits.notify.Fault(n.URL); fault != "" {
			v.add("x_notify.notify_url " + fault)
		}
	}
	if wire.events != 0 && wire.events != 'n' {
		v.events(n, wire)
	}
	v.draft.notify = n
}

func (v *validator) events(n *api.Notify, wire *wireNotify) {
	if wire.events != '[' || wire.eventCount < 1 || wire.eventCount > len(api.Events) {
		v.addf("x_notify.events must be an array of 1 to %d events", len(api.Events))
		return
	}
	for i, s := range wire.event {
		at := fmt.Sprintf("x_notify.events[%d]", i)
		text, ok := v.text(at, s, true)
		if !ok {
			continue
		}
		e := api.Event(text)
		switch {
		case !slices.Contains(api.Events, e):
			v.addf("%s must be one of %s", at, eventNames())
		case slices.Contains(n.Events, e):
			v.add(at + " must not be there twice")
		}
		n.Events = append(n.Events, e)
	}
}

func eventNames() string {
	names := make([]string, len(api.Events))
	for i, e := range api.Events {
		names[i] = string(e)
	}
	return strings.Join(names, ", ")
}

// apiKeyOf gives the text of the API key of a request that producer has let in.
func apiKeyOf(r *http.Request) string {
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key)
}

// sealTarget seals who is to be told of a new kubbi, and what its receipts are
// to be signed with, which can be told only now.
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
	return key.SealBytes(rl.cfg.Rand, head(k), plain)
}

// targetKey is that of who is to be told of a kubbi. It must open after the kubbi's
// end, and so is not made of its secret.
func targetKey(ring *atrest.Keyring, k *store.Kubbi) (*atrest.Key, error) {
	return ring.Key(k.MasterKey, nil, atrest.Notify, []byte(k.ID))
}

// openNotice gives who is to be told of a notice, and what. It does not wait for
// a master key that is missing: the notice comes again.
func (rl *Relay) openNotice(n *store.Notice) (*webhook.Target, *api.Receipt, error) {
	k := &n.Kubbi
	key, err := targetKey(rl.cfg.Keyring.Current(), k)
	if err != nil {
		return nil, nil, err
	}
	plain, err := key.OpenBytes(head(k), k.Notify)
	if err != nil {
		return nil, nil, err
	}
	var to webhook.Target
	if err := json.Unmarshal(plain, &to); err != nil {
		return nil, nil, errors.New("webhook target is not valid JSON") // whose own words may hold it
	}
	return &to, receiptOf(n), nil
}

// receiptOf is what is said of a notice.
func receiptOf(n *store.Notice) *api.Receipt {
	k := &n.Kubbi
	count, size := packageOf(k)
	return &api.Receipt{
		Type: api.ReceiptPrefix + string(eventOf(n.Event)), Timestamp: api.NewTime(n.At),
		Data: api.ReceiptKubbi{
			ID: k.ID, Status: statusOf(k), ContentType: k.ContentType, FileCount: count, TotalSizeBytes: size,
			MaxRetrievals: optional(k.MaxRetrievals), RetrievalCount: k.Retrievals,
			CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
		},
	}
}

func eventOf(e store.Event) api.Event {
	switch e {
	case store.EventBurned:
		return api.EventBurned
	case store.EventExpired:
		return api.EventExpired
	case store.EventDeleted:
		return api.EventDeleted
	}
	return api.EventClaimed
}

// wakeSender has notices that an event may have left delivered at once.
func (rl *Relay) wakeSender() {
	if rl.sender != nil {
		rl.sender.Wake()
	}
}
