package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"kubbi-mcp/internal/hostfile"
	"kubbi-mcp/kubbi"
)

// doctorCmd is `kubbi-mcp doctor`.
type doctorCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

const (
	doctorPatience  = 20 * time.Second // for all checks together
	versionPatience = 3 * time.Second  // for the version of a host's program
	maxVersion      = 64 << 10         // bytes of what that program may print
)

// Run checks what a handoff from this machine needs. It makes no kubbi and changes no file,
// except that a store which exists is opened as by every command.
func (c *doctorCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, doctorPatience)
	defer cancel()
	all := []check{checkedOK("program", "%s", buildInfo().line()), a.checkDataDir()}
	err := a.withBackend(func(b *backend) error {
		all = append(all, b.checkStoreAndAddress(ctx)...)
		if !b.embedded {
			all = append(all, b.checkService(ctx, a.cfg.APIKey != ""))
		}
		return nil
	})
	if err != nil {
		all = append(all, checkedFailed("configuration", err.Error(), "correct the flag or the variable that it names"))
	}
	for _, dir := range a.cfg.AllowDir {
		all = append(all, checkFolder("folder", dir))
	}
	all = append(all, a.checkHosts(ctx)...)
	if a.ctx.Err() != nil {
		return a.ctx.Err()
	}
	return a.printChecks(all, c.JSON, "something would not work: see what has failed")
}

// checkStoreAndAddress checks the embedded relay: its files, and who listens at the address of
// its claim URLs. A store that does not exist yet is not made.
func (b *backend) checkStoreAndAddress(ctx context.Context) []check {
	if !b.relay.Exists() {
		return []check{checkedOK("store", "there is none yet; the first kubbi makes it")}
	}
	who, err := b.relay.AtAddress(ctx)
	if err != nil {
		return []check{checkedFailed("store", err.Error(), "do what it says")}
	}
	all := []check{checkedOK("store", "store and keyring open and go together")}
	const name = "address"
	switch who {
	case "nobody":
		return append(all, checkedOK(name, "nobody listens at %s now; claim URLs open in browsers and curl while a server runs", b.relayURL))
	case "this data directory":
		return append(all, checkedOK(name, "a kubbi-mcp with this data directory serves claim URLs at %s", b.relayURL))
	case "another data directory":
		return append(all, checkedWarning(name, "a kubbi-mcp with another data directory serves "+b.relayURL+" and passes on requests for this one",
			"use one data directory for all hosts, or give this one an address of its own with --relay-url"))
	}
	return append(all, checkedWarning(name, who+" listens at "+b.relayURL+", so browsers and curl can't open this machine's claim URLs; agents can",
		"stop it, or choose another address with --relay-url"))
}

// checkService checks a service that is not embedded: whether it answers, and takes the API key.
func (b *backend) checkService(ctx context.Context, key bool) check {
	const name = "service"
	start := time.Now()
	_, err := b.client.List(ctx, kubbi.ListParams{Limit: 1})
	took := time.Since(start).Round(time.Millisecond)
	switch {
	case err == nil:
		return checkedOK(name, "%s answers in %s, and takes the API key", b.base, took)
	case errors.Is(err, kubbi.ErrUnauthorized) && !key:
		return checkedFailed(name, b.base+" answers, and wants an API key", "give one in KUBBI_API_KEY")
	case errors.Is(err, kubbi.ErrUnauthorized):
		return checkedFailed(name, b.base+" answers, and does not take the API key: it is wrong, expired or revoked", "get another one from whoever runs the service")
	}
	return checkedFailed(name, err.Error(), "see that --base-url is right, and that this machine reaches it")
}

func checkFolder(name, dir string) check {
	if _, callers, named := splitNamed(dir); named { // over HTTP
		dir = callers
	}
	path, err := absolute(dir)
	if err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(path); err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a folder", path)
		}
	}
	if err != nil {
		return checkedFailed(name, err.Error(), "correct --allow-dir, or make the folder")
	}
	return checkedOK(name, "%s is there", path)
}

// checkHosts checks the entries of this program in the files of all hosts.
func (a *app) checkHosts(ctx context.Context) (all []check) {
	found := false
	for _, h := range hostfile.Hosts {
		path, err := h.Path(a.machine())
		if err != nil {
			return append(all, checkedWarning("hosts", err.Error(), "set HOME"))
		}
		text, err := hostfile.Read(path)
		var servers []hostfile.Server
		if err == nil {
			servers, err = h.Servers(text)
		}
		if err != nil {
			all = append(all, checkedWarning(h.Name, path+": "+err.Error(), "correct the file"))
			continue
		}
		for _, s := range servers {
			program := filepath.Base(strings.ReplaceAll(s.Command, `\`, "/"))
			if s.Name != "kubbi" && strings.TrimSuffix(program, ".exe") != "kubbi-mcp" {
				continue
			}
			found = true
			all = append(all, checkEntry(ctx, h, s))
			for i, arg := range s.Args {
				if arg != "--allow-dir" || i+1 == len(s.Args) || placeholder.MatchString(s.Args[i+1]) {
					continue
				}
				for _, dir := range kong.SplitEscaped(s.Args[i+1], ',') {
					all = append(all, checkFolder(h.Name+" folder", dir))
				}
			}
		}
	}
	if !found {
		all = append(all, checkedWarning("hosts", "no host starts kubbi-mcp", "enter it with kubbi-mcp install HOST"))
	}
	return all
}

// checkEntry starts the program of a host's entry to see its version.
func checkEntry(ctx context.Context, h hostfile.Host, s hostfile.Server) check {
	again := "enter it again with kubbi-mcp install " + h.Name
	if s.Name != "kubbi" {
		again += " --name " + s.Name
	}
	ctx, cancel := context.WithTimeout(ctx, versionPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Command, "version", "--json")
	cmd.WaitDelay = time.Second
	var other build
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		notJSON := json.NewDecoder(io.LimitReader(out, maxVersion)).Decode(&other)
		err = cmp.Or(cmd.Wait(), notJSON)
	}
	own := buildInfo()
	switch {
	case err != nil:
		return checkedFailed(h.Name, fmt.Sprintf("its server %s, %s, can't be started: %v", s.Name, s.Command, err), again)
	case other.Version != own.Version || other.Commit != own.Commit:
		return checkedWarning(h.Name, fmt.Sprintf("its server %s, %s, is version %s %s, and this program is %s %s", s.Name, s.Command, other.Version, other.Commit, own.Version, own.Commit), again)
	case runtime.GOOS != "windows" && !filepath.IsAbs(s.Command):
		return checkedWarning(h.Name, "its server "+s.Name+" has no absolute path, and is found only with the PATH of the host", again)
	}
	return checkedOK(h.Name, "starts %s as %s, of this version", s.Command, s.Name)
}
