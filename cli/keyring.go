package cli

import (
	"errors"
	"io/fs"
	"path/filepath"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/relay/store"
)

// keyringCmd is `kubbi-mcp keyring`.
type keyringCmd struct {
	Rotate keyringRotateCmd `cmd:"" help:"Add a master key, which seals from a minute from now; with --every, go on doing so and remove those that no kubbi needs."`
	List   keyringListCmd   `cmd:"" help:"List the master keys, oldest first, without their secrets."`
	Prune  keyringPruneCmd  `cmd:"" help:"Remove the master keys that no kubbi needs any more."`
}

// keyringFlag is the flag of commands that work with a relay's master keys.
type keyringFlag struct {
	Keyring string `name:"keyring" variable:"KUBBI_KEYRING" placeholder:"SOURCE" help:"The master keys: the path of a file, env:NAME, or command:PROGRAM and its arguments; by default keyring.json in the data directory."`
}

// keyringSource is the source that --keyring names.
func (a *app) keyringSource(name string) (keyring.Source, error) {
	if name == "" {
		dir, err := a.dataDir()
		if err != nil {
			return nil, err
		}
		return keyring.File(filepath.Join(dir, "keyring.json")), nil
	}
	source, err := keyring.Parse(name, a.getenv)
	if f, ok := source.(keyring.File); ok {
		var path string
		path, err = absolute(string(f))
		source = keyring.File(path)
	}
	if err != nil {
		return nil, usagef("--keyring (KUBBI_KEYRING): %w", err)
	}
	return source, nil
}

// readKeyring reads the keyring that --keyring names, which must exist.
func (a *app) readKeyring(name string) (keyring.Source, *atrest.Keyring, error) {
	source, err := a.keyringSource(name)
	if err != nil {
		return nil, nil, err
	}
	ring, err := keyring.Read(a.ctx, source)
	if errors.Is(err, fs.ErrNotExist) {
		if f, ok := source.(keyring.File); ok {
			return nil, nil, usagef("there is no keyring at %s: start its relay once, or name another with --keyring (KUBBI_KEYRING)", f)
		}
	}
	return source, ring, err
}

// printKeyring prints a new keyring with its secrets.
func (a *app) printKeyring(ring *atrest.Keyring, err error) error {
	if err != nil {
		return err
	}
	text, err := ring.Encode()
	if err != nil {
		return err
	}
	return a.print(string(text))
}

// keyringFile gives the file of a source. Other sources can't be changed by this program.
func keyringFile(source keyring.Source) (keyring.File, error) {
	f, ok := source.(keyring.File)
	if !ok {
		return "", usagef("%s is not ours to change: print the new keyring with --print, and put it there", source)
	}
	return f, nil
}

// neededKeys gives the ids of the master keys that a store's kubbis need.
func (a *app) neededKeys(name string) (ids []string, err error) {
	err = a.withStore(name, func(db store.Store) (err error) {
		ids, err = db.MasterKeys(a.ctx)
		return err
	})
	return ids, err
}

// checkStoreNamed refuses a keyring that --keyring names if --store does not say which
// store has the kubbis that it seals: the data directory's store has others.
func checkStoreNamed(source keyring.Source, keyringName, store string) error {
	if keyringName != "" && store == "" {
		return usagef("say with --store (KUBBI_STORE) which store has the kubbis that are sealed under %s", source)
	}
	return nil
}
