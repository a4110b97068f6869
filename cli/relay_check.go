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

// checkState is what a check came to.
type checkState string

const (
	checkOK      checkState = "ok"
	checkWarning checkState = "warning" // the relay will work, and perhaps not as it should
	checkFailed  checkState = "failed"
)

// check is one thing that was looked at.
type check struct {
	Name   string     `json:"name"`
	State  checkState `json:"state"`
	Detail string     `json:"detail"`
	Fix    string     `json:"fix,omitempty"`
}

// checks is what relay check --json prints.
type checks struct {
	OK     bool    `json:"ok"`
	Checks []check `json:"checks"`
}

func (cs *checks) ok(name, format string, args ...any) {
	cs.Checks = append(cs.Checks, check{name, checkOK, fmt.Sprintf(format, args...), ""})
}

func (cs *checks) warn(name, detail, fix string) {
	cs.Checks = append(cs.Checks, check{name, checkWarning, detail, fix})
}

func (cs *checks) fail(name, detail, fix string) {
	cs.Checks = append(cs.Checks, check{name, checkFailed, detail, fix})
	cs.OK = false
}

// Run looks at everything that a relay with the same flags would need, and
// changes nothing but the version of a store's tables, as opening one does.
func (c *relayCheckCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, checkPatience)
	defer cancel()
	cs := &checks{OK: true}
	if _, err := c.config(a); err != nil {
		cs.fail("configuration", err.Error(), "correct the flag or the variable that it names")
	} else {
		cs.ok("configuration", "the flags and variables go together")
	}
	c.checkURL(cs)
	c.checkCertificate(cs, time.Now())
	c.checkAddresses(ctx, cs)
	a.checkFolder(cs)
	c.checkStore(ctx, a, cs)
	if err := ctx.Err(); err != nil && a.ctx.Err() != nil {
		return err
	}
	if err := a.printChecks(cs, c.JSON); err != nil {
		return err
	}
	if !cs.OK {
		return errors.New("the relay would not work as it is configured: see what has failed")
	}
	return nil
}

func (a *app) printChecks(cs *checks, asJSON bool) error {
	if asJSON {
		return a.printJSON(cs)
	}
	var rows [][]string
	for _, one := range cs.Checks {
		text := one.Detail
		if one.Fix != "" {
			text += "; " + one.Fix
		}
		rows = append(rows, []string{string(one.State), one.Name, text})
	}
	return a.print(table(rows))
}

// checkStore looks at the store, and at what depends on it.
func (c *relayFlags) checkStore(ctx context.Context, a *app, cs *checks) {
	at := *a
	at.ctx = ctx
	name, err := a.storeName(c.Store)
	if err != nil {
		cs.fail("store", err.Error(), "let the relay read that file, and no one else")
		return
	}
	db, err := at.openExisting(ctx, c.Store)
	if _, none := errors.AsType[noStore](err); none {
		cs.warn("store", "there is none yet", "the relay's first start makes it")
		c.checkKeyring(&at, nil, cs)
		return
	}
	if err != nil {
		cs.fail("store", err.Error(), "see that it runs, is reached from here, and is no newer than this program")
		return
	}
	defer db.Close() // nothing was written to it
	stats, err := db.Stats(ctx)
	if err != nil {
		cs.fail("store", err.Error(), "see that it runs and is reached from here")
		return
	}
	cs.ok("store", "it answers, and its tables are of this version: %d active kubbis, %d bytes of payloads", stats.Active, stats.Bytes)
	c.checkRoom(a, name, stats, cs)
	checkClock(ctx, name, db, cs)
	c.checkKeyring(&at, db, cs)
	checkAPIKeys(ctx, db, cs)
}

// checkClock compares this machine's clock with that of a data base, which
// stands for those of all the other relays.
func checkClock(ctx context.Context, name string, db store.Store, cs *checks) {
	if !isPostgres(name) {
		return // a file of this machine
	}
	start := time.Now()
	ahead, err := db.Skew(ctx)
	slack := time.Since(start) / 2
	if err != nil {
		cs.fail("clock", err.Error(), "see that the data base answers")
		return
	}
	if ahead.Abs() > service.MaxSkew+slack {
		cs.fail("clock", "this machine's "+service.SkewText(ahead), "let both be set by NTP: expiry, grace and quotas go by the relays' clocks, and a relay is not ready before they agree")
		return
	}
	cs.ok("clock", "the data base's is %s from this machine's", ahead.Abs().Round(time.Millisecond))
}

func checkAPIKeys(ctx context.Context, db store.Store, cs *checks) {
	keys, err := db.APIKeys(ctx)
	if err != nil {
		cs.fail("API keys", err.Error(), "see that the store answers")
		return
	}
	valid := 0
	for i := range keys {
		if keys[i].Valid(time.Now()) {
			valid++
		}
	}
	if valid == 0 {
		cs.warn("API keys", "there is no valid one, so nobody can create kubbis", "make one with kubbi-mcp keys create --label NAME")
		return
	}
	cs.ok("API keys", "%d valid, %d that have ended", valid, len(keys)-valid)
}
