package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kubbi-mcp/relay/service"
	"kubbi-mcp/relay/store"
)

// relayCheckCmd is `kubbi-mcp relay check`.
type relayCheckCmd struct {
	relayFlags
	JSON bool `name:"json" help:"Print JSON."`
}

const checkPatience = 15 * time.Second // for all checks together

// checkState is the result of a check.
type checkState string

const (
	checkOK      checkState = "ok"
	checkWarning checkState = "warning" // the relay works, but perhaps not as intended
	checkFailed  checkState = "failed"
)

// check is one thing that was checked.
type check struct {
	Name   string     `json:"name"`
	State  checkState `json:"state"`
	Detail string     `json:"detail"`
	Fix    string     `json:"fix,omitempty"`
}

func checkedOK(name, format string, args ...any) check {
	return check{name, checkOK, fmt.Sprintf(format, args...), ""}
}

func checkedWarning(name, detail, fix string) check { return check{name, checkWarning, detail, fix} }

func checkedFailed(name, detail, fix string) check { return check{name, checkFailed, detail, fix} }

// Run checks everything that a relay with the same flags needs. It changes nothing but the
// version of the store's tables, as opening a store does.
func (c *relayCheckCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, checkPatience)
	defer cancel()
	timed := a.with(ctx)
	all := []check{c.checkFlags(a), c.checkURL()}
	if c.TLSCert != "" && c.TLSKey != "" {
		all = append(all, c.checkCertificate(time.Now()))
	}
	all = append(all, c.checkAddresses(ctx)...)
	all = append(all, a.checkDataDir())
	all = append(all, c.checkStore(timed)...)
	if err := a.ctx.Err(); err != nil {
		return err
	}
	return a.printChecks(all, c.JSON, "the relay would not work as it is configured: see what has failed")
}

// printChecks prints the results of checks. If one has failed, it returns an error with the
// text of failure.
func (a *app) printChecks(all []check, asJSON bool, failure string) (err error) {
	ok := true
	rows := make([][]string, len(all))
	for i, one := range all {
		ok = ok && one.State != checkFailed
		text := one.Detail
		if one.Fix != "" {
			text += "; " + one.Fix
		}
		rows[i] = []string{string(one.State), one.Name, text}
	}
	if asJSON {
		err = a.printJSON(struct {
			OK     bool    `json:"ok"`
			Checks []check `json:"checks"`
		}{ok, all})
	} else {
		err = a.print(table(rows))
	}
	if err == nil && !ok {
		err = errors.New(failure)
	}
	return err
}

func (c *relayFlags) checkFlags(a *app) check {
	const name = "configuration"
	if _, err := c.config(a); err != nil {
		return checkedFailed(name, err.Error(), "correct the flag or the variable that it names")
	}
	return checkedOK(name, "the flags and variables go together")
}

// checkStore checks the store and what depends on it.
func (c *relayFlags) checkStore(a *app) []check {
	const name = "store"
	storeName, err := a.storeName(c.Store)
	if err != nil {
		return []check{checkedFailed(name, err.Error(), "let the relay read that file, and no one else")}
	}
	db, err := a.openExisting(c.Store)
	if errors.Is(err, errNoStore) {
		return []check{checkedWarning(name, "there is none yet", "the relay's first start makes it"), c.checkKeyring(a, nil)}
	}
	if err != nil {
		return []check{checkedFailed(name, err.Error(), "see that it runs, is reached from here, and is no newer than this program")}
	}
	defer db.Close() // nothing was written to it
	stats, err := db.Stats(a.ctx)
	if err != nil {
		return []check{checkedFailed(name, err.Error(), "see that it runs and is reached from here")}
	}
	all := []check{checkedOK(name, "it answers, and its tables are of this version: %d active kubbis and requests, %d bytes of payloads", stats.Active, stats.Bytes)}
	if isPostgres(storeName) {
		all = append(all, checkClock(a.ctx, db))
	} else if path, err := a.storePath(storeName); err == nil {
		all = append(all, c.checkDisk(path, stats))
	}
	return append(all, c.checkKeyring(a, db), checkAPIKeys(a.ctx, db))
}

// checkClock compares this machine's clock with the data base's, which stands for the
// clocks of the other relays.
func checkClock(ctx context.Context, db store.Store) check {
	const name = "clock"
	start := time.Now()
	ahead, err := db.Skew(ctx)
	slack := time.Since(start) / 2
	switch {
	case err != nil:
		return checkedFailed(name, err.Error(), "see that the data base answers")
	case ahead.Abs() > service.MaxSkew+slack:
		return checkedFailed(name, "this machine's "+service.SkewText(ahead), "let both be set by NTP: expiry, grace and quotas go by the relays' clocks, and a relay is not ready before they agree")
	}
	return checkedOK(name, "the data base's is %s from this machine's", ahead.Abs().Round(time.Millisecond))
}

func checkAPIKeys(ctx context.Context, db store.Store) check {
	const name = "API keys"
	keys, err := db.APIKeys(ctx)
	if err != nil {
		return checkedFailed(name, err.Error(), "see that the store answers")
	}
	valid := 0
	for i := range keys {
		if keys[i].Valid(time.Now()) {
			valid++
		}
	}
	if valid == 0 {
		return checkedWarning(name, "there is no valid one, so nobody can create kubbis", "make one with kubbi-mcp keys create --label NAME")
	}
	return checkedOK(name, "%d valid, %d that have ended", valid, len(keys)-valid)
}
