package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/sealedfile"
	"kubbi-mcp/kubbi"
)

// identityCmd is `kubbi-mcp identity`.
type identityCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// identityText is what identity --json prints.
type identityText struct {
	PublicKey   string `json:"public_key"`
	Fingerprint string `json:"fingerprint"`
	KeyID       string `json:"key_id"`
}

// Run prints the public key of the data directory's key pair, alone, on stdout. It makes the
// pair at the first use.
func (c *identityCmd) Run(a *app) error {
	dir, err := a.dataDir()
	if err != nil {
		return err
	}
	identity, err := openIdentity(a.ctx, dir, true)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	public := identity.Recipient()
	if c.JSON {
		return a.printJSON(identityText{public.String(), public.Fingerprint(), public.KeyID()})
	}
	err = a.print(public.String() + "\n")
	a.remark("its fingerprint is %s: whoever sends to this key can compare it with you; inspect shows its id, %s", public.Fingerprint(), public.KeyID())
	return err
}

const identityName = "identity"

// openIdentity reads the key pair of a data directory. If there is none, it makes one, or
// gives an error that is fs.ErrNotExist. Many processes may make it at once.
func openIdentity(ctx context.Context, dir string, makeMissing bool) (*kubbi.Identity, error) {
	file := sealedfile.Folder{Data: dir, Purpose: atrest.Identity}
	text, err := file.Read(ctx, identityName)
	if errors.Is(err, fs.ErrNotExist) && makeMissing {
		err = file.Create(ctx, identityName, []byte(kubbi.GenerateIdentity().Secret()))
		if err == nil || errors.Is(err, fs.ErrExist) { // another process may have been first
			text, err = file.Read(ctx, identityName)
		}
	}
	if err != nil {
		return nil, err
	}
	identity, err := kubbi.ParseIdentity(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s holds no key pair: %w", file.Path(identityName), err)
	}
	return identity, nil
}

// identities gives the key pair of the data directory, if there is one, to the client.
func (a *app) identities(dir string) func() []*kubbi.Identity {
	return func() []*kubbi.Identity {
		identity, err := openIdentity(a.ctx, dir, false)
		switch {
		case err == nil:
			return []*kubbi.Identity{identity}
		case !errors.Is(err, fs.ErrNotExist):
			a.log.Error("this machine's key pair can't be used", "error", err)
		}
		return nil
	}
}

// publicKey gives the public key of the data directory's key pair, which it makes at the first
// use, or "" if it can't be had.
func (a *app) publicKey(dir string) func(context.Context) string {
	return func(ctx context.Context) string {
		identity, err := openIdentity(ctx, dir, true)
		if err != nil {
			a.log.Error("this machine's key pair can't be used", "error", err)
			return ""
		}
		return identity.Recipient().String()
	}
}
