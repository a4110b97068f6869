package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/args"
)

// sealedFor says for whom a kubbi is sealed.
type sealedFor struct {
	KeyIDs []string `json:"key_ids" jsonschema:"Of their public keys."`
	Yours  *bool    `json:"yours,omitzero" jsonschema:"Whether this server can open it."`
}

// recipientsOf reads public keys. A text may hold several.
func recipientsOf(to []string) ([]kubbi.Recipient, error) {
	var all []kubbi.Recipient
	for i, text := range to {
		keys := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\n' })
		if len(keys) == 0 {
			return nil, args.Error(fmt.Sprintf("to.%d: it is empty: give a public key, kbp_..., or leave to out.", i))
		}
		for _, key := range keys {
			r, err := kubbi.ParseRecipient(key)
			if err != nil {
				return nil, args.Error(fmt.Sprintf("to.%d: %s.", i, errorMessage(err)))
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// errorMessage gives the text of one of the client's own errors.
func errorMessage(err error) string {
	if e, ok := errors.AsType[*kubbi.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// fingerprints are what people compare of public keys.
func fingerprints(to []kubbi.Recipient) []string {
	var all []string
	for _, r := range to {
		all = append(all, r.Fingerprint())
	}
	return all
}

// sealedForOf reads from metadata for whom a kubbi is sealed; nil: for nobody in particular.
func sealedForOf(metadata json.RawMessage) *sealedFor {
	if ids := kubbi.RecipientsOf(metadata); len(ids) > 0 {
		return &sealedFor{KeyIDs: ids}
	}
	return nil
}
