package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// Bounds of what keys create takes.
const (
	maxKeyName  = 100 // bytes of a label or an owner
	maxKeyCount = 1_000_000_000
	keyIDPrefix = "key_" // of an id, and so of no label
)

// keysCreateCmd is `kubbi-mcp keys create`.
type keysCreateCmd struct {
	storeFlag
	Label    string    `required:"" placeholder:"NAME" help:"Who or what the key is for."`
	Owner    string    `placeholder:"OWNER" help:"Give a further key to an owner that list shows: it sees the same kubbis. By default the key has an owner of its own."`
	Expires  expiry    `placeholder:"TIME" help:"When the key ends: a duration such as 12h or 90d, a date, or a time such as 2027-01-31T12:00:00Z. By default never."`
	MaxTTL   seconds   `name:"max-ttl" placeholder:"TTL" help:"Longest time to live of a kubbi: seconds, or a duration such as 10m."`
	MaxBytes *byteSize `name:"max-bytes" placeholder:"SIZE" help:"Largest kubbi, such as 100KiB."`
	Rate     *int      `placeholder:"N" help:"Producer requests in a minute."`
	Daily    *int      `placeholder:"N" help:"Kubbis that its owner may create in a day of UTC."`
	Active   *int      `placeholder:"N" help:"Kubbis of its owner that may be active at the same time."`
	JSON     bool      `name:"json" help:"Print JSON."`
}

// Run makes a key.
func (c *keysCreateCmd) Run(a *app) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	k, err := c.key(now)
	if err != nil {
		return usage(err)
	}
	text, err := relay.NewAPIKey(rand.Reader)
	if err != nil {
		return err
	}
	k.Hash = relay.HashSecret(text)
	id := relay.KeyID(k.Hash)
	if k.Owner == "" {
		k.Owner = id
	}
	if err := a.withStore(c.Store, func(db store.Store) error {
		if err := db.PutAPIKey(a.ctx, *k); err != nil {
			return fmt.Errorf("create key: %w", err)
		}
		return nil
	}); err != nil {
		return err
	}
	if c.JSON {
		made := newKeyJSON(k)
		made.Key = text
		err = a.printJSON(made)
	} else {
		a.remark("This is the only time that %s is shown. Give it to its holder as KUBBI_API_KEY.", id)
		err = a.print(text + "\n")
	}
	if err != nil {
		return fmt.Errorf("%s was made and could not be shown; revoke it: %w", id, err)
	}
	return nil
}

// key makes a key from the flags. Its hash is not set, nor is its owner without
// --owner.
func (c *keysCreateCmd) key(now time.Time) (*store.APIKey, error) {
	k := &store.APIKey{Owner: c.Owner, Label: c.Label, CreatedAt: now, MaxTTL: c.MaxTTL.duration()}
	if fault := keyNameFault(c.Label); fault != "" {
		return nil, fmt.Errorf("--label %s", fault)
	}
	if c.Label == "" || strings.HasPrefix(c.Label, keyIDPrefix) {
		return nil, fmt.Errorf("--label must not be empty, or begin with %s as an id does", keyIDPrefix)
	}
	if fault := keyNameFault(c.Owner); fault != "" {
		return nil, fmt.Errorf("--owner %s", fault)
	}
	if !c.Expires.zero() {
		if k.ExpiresAt = c.Expires.after(now); !k.ExpiresAt.After(now) {
			return nil, errors.New("--expires must be a time to come")
		}
	}
	if least := api.DefaultLimits().MinTTLSeconds; k.MaxTTL != 0 && c.MaxTTL.int() < least {
		return nil, fmt.Errorf("--max-ttl must be at least %d seconds, the shortest time to live", least)
	}
	if c.MaxBytes != nil {
		if k.MaxBytes = int64(*c.MaxBytes); k.MaxBytes < 1 {
			return nil, errors.New("--max-bytes must be at least 1 byte")
		}
	}
	for _, n := range []struct {
		flag  string
		given *int
		to    *int
	}{{"--rate", c.Rate, &k.Rate}, {"--daily", c.Daily, &k.Quota.Daily}, {"--active", c.Active, &k.Quota.Active}} {
		if n.given == nil {
			continue
		}
		if *n.given < 1 || *n.given > maxKeyCount {
			return nil, fmt.Errorf("%s must be between 1 and %d", n.flag, maxKeyCount)
		}
		*n.to = *n.given
	}
	return k, nil
}

// keyNameFault says what is wrong with a label or an owner, "" for nothing.
func keyNameFault(s string) string {
	strange := func(r rune) bool { return !unicode.IsPrint(r) }
	if len(s) > maxKeyName || !utf8.ValidString(s) || strings.TrimSpace(s) != s || strings.ContainsFunc(s, strange) {
		return fmt.Sprintf("must have at most %d bytes of plain text, without a space at an end", maxKeyName)
	}
	return ""
}
