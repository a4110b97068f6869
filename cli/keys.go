package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

const maxKeyName = 100 // bytes of a label or an owner

// keysCmd is `kubbi-mcp keys`.
type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make an API key, and print it: it is shown only once."`
	List   keysListCmd   `cmd:"" help:"List the API keys, oldest first."`
	Revoke keysRevokeCmd `cmd:"" help:"End an API key. Its kubbis can still be claimed."`
}

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
	db, err := a.openExisting(a.ctx, c.Store)
	if err != nil {
		return err
	}
	text, err := relay.NewAPIKey(rand.Reader)
	if err != nil {
		return closingStore(db, err)
	}
	k.Hash = relay.HashSecret(text)
	id := relay.KeyID(k.Hash)
	if k.Owner == "" {
		k.Owner = id
	}
	if err := closingStore(db, db.PutAPIKey(a.ctx, *k)); err != nil {
		return fmt.Errorf("create key: %w", err)
	}
	if c.JSON {
		shown := shownKey(k)
		shown.Key = text
		return c.shown(id, a.printJSON(shown))
	}
	a.remark("This is the only time that %s is shown. Give it to its holder as KUBBI_API_KEY.", id)
	return c.shown(id, a.print(text+"\n"))
}

// shown says what to do about a key that nobody has seen.
func (c *keysCreateCmd) shown(id string, err error) error {
	if err != nil {
		return fmt.Errorf("%s was made and could not be shown; revoke it: %w", id, err)
	}
	return nil
}

// key is the key that the flags ask for, without its hash and, unless it was
// given, its owner.
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

const maxKeyCount = 1_000_000_000

// keyNameFault says what is wrong with a label or an owner; "" for nothing.
func keyNameFault(s string) string {
	strange := func(r rune) bool { return !unicode.IsPrint(r) }
	if len(s) > maxKeyName || !utf8.ValidString(s) || strings.TrimSpace(s) != s || strings.ContainsFunc(s, strange) {
		return fmt.Sprintf("must have at most %d bytes of plain text, without a space at an end", maxKeyName)
	}
	return ""
}

// expiry is a time to come, as such or from now; zero for never.
type expiry struct {
	at time.Time
	in time.Duration
}

// UnmarshalText reads "12h", "90d", "2027-01-31" or "2027-01-31T12:00:00Z".
func (e *expiry) UnmarshalText(text []byte) error {
	v := strings.TrimSpace(string(text))
	const day = 24 * time.Hour
	if n, err := strconv.Atoi(strings.TrimSuffix(v, "d")); err == nil && strings.HasSuffix(v, "d") && n > 0 && n <= 100*366 {
		e.in = time.Duration(n) * day
		return nil
	}
	if d, err := time.ParseDuration(v); err == nil && d > 0 {
		e.in = d
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, v); err == nil {
			e.at = at.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is not a duration such as 12h or 90d, a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z", v)
}

func (e expiry) zero() bool { return e.at.IsZero() && e.in == 0 }

func (e expiry) after(now time.Time) time.Time {
	if e.in != 0 {
		return now.Add(e.in)
	}
	return e.at
}

// keysListCmd is `kubbi-mcp keys list`.
type keysListCmd struct {
	storeFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the keys.
func (c *keysListCmd) Run(a *app) error {
	db, err := a.openExisting(a.ctx, c.Store)
	if err != nil {
		return err
	}
	keys, err := db.APIKeys(a.ctx)
	if err := closingStore(db, err); err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	if !c.JSON {
		return a.print(keysText(keys, time.Now()))
	}
	out := keyList{Keys: make([]keyJSON, len(keys))}
	for i := range keys {
		out.Keys[i] = shownKey(&keys[i])
	}
	return a.printJSON(out)
}

// keysRevokeCmd is `kubbi-mcp keys revoke`.
type keysRevokeCmd struct {
	Key string `arg:"" placeholder:"ID|LABEL" help:"The key's id, as list shows it, or its label if no other valid key has that."`
	storeFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Run revokes a key.
func (c *keysRevokeCmd) Run(a *app) error {
	db, err := a.openExisting(a.ctx, c.Store)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	keys, err := db.APIKeys(a.ctx)
	if err != nil {
		return closingStore(db, fmt.Errorf("revoke key: %w", err))
	}
	found, err := findKey(keys, c.Key, now)
	if err != nil {
		return closingStore(db, usage(err))
	}
	before := found.RevokedAt
	k, err := db.RevokeAPIKey(a.ctx, found.Hash, now)
	if err := closingStore(db, err); err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	if c.JSON {
		return a.printJSON(shownKey(k))
	}
	what := fmt.Sprintf("%s (%s)", relay.KeyID(k.Hash), oneLine(k.Label))
	if !before.IsZero() {
		return a.print(fmt.Sprintf("%s was revoked before, at %s\n", what, localTime(api.NewTime(k.RevokedAt))))
	}
	return a.print(fmt.Sprintf("%s is revoked\n", what))
}

const keyIDPrefix = "key_"

// findKey gives the key of that id, or the one valid key of that label.
func findKey(keys []store.APIKey, name string, now time.Time) (*store.APIKey, error) {
	if strings.HasPrefix(name, api.KeyPrefix) {
		return nil, errors.New("revoke takes a key's id or label, not the key itself; keys list shows them")
	}
	var labelled []*store.APIKey
	for i := range keys {
		k := &keys[i]
		if relay.KeyID(k.Hash) == name {
			return k, nil
		}
		if k.Label == name && k.Valid(now) {
			labelled = append(labelled, k)
		}
	}
	switch len(labelled) {
	case 0:
		return nil, fmt.Errorf("no key has that id, and no valid one that label: %s", oneLine(name))
	case 1:
		return labelled[0], nil
	}
	ids := make([]string, len(labelled))
	for i, k := range labelled {
		ids[i] = relay.KeyID(k.Hash)
	}
	return nil, fmt.Errorf("several valid keys have the label %s: say which by its id: %s", oneLine(name), strings.Join(ids, ", "))
}

// closingStore closes a store after the work that ended in err.
func closingStore(db store.Store, err error) error {
	if cerr := db.Close(); err == nil && cerr != nil {
		return fmt.Errorf("close store: %w", cerr)
	}
	return err
}
