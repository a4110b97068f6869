package local

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/private"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// The files of a data directory.
const (
	keyringName = "keyring.json"
	storeName   = "kubbi.db"
	apiKeyName  = "api-key"
)

// dataDir is an open data directory.
type dataDir struct {
	relay  *relay.Relay
	store  store.Store
	apiKey string
	self   identity

	stop    context.CancelFunc
	running sync.WaitGroup // the sweeps and the reloads of the keyring, which end with stop
}

// makeDir makes the data directory with private permissions, or checks the existing
// one.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := private.MakeDir(dir); err != nil {
			return err
		}
		info, err = os.Stat(dir)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory: give one with --data-dir or KUBBI_DATA_DIR", dir)
	}
	// A user who can write in the directory could replace the keyring or the store.
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o022 != 0 {
		return fmt.Errorf("%s may be written by others (mode %04o): make it private with chmod 700", dir, mode)
	}
	return nil
}

// Exists reports whether the directory has a store. Only a store that exists can be lost.
func (r *Relay) Exists() bool {
	_, err := os.Lstat(filepath.Join(r.cfg.Dir, storeName))
	return err == nil
}

// openDir opens a data directory, and makes the missing files on the first run. Many
// processes may do so at the same time.
func (r *Relay) openDir(ctx context.Context) (_ *dataDir, err error) {
	cfg := r.cfg
	if err := makeDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	// The keyring is made before the store. So if there is a store and no keyring, this is
	// not the first run, and the keyring was lost.
	storePath := filepath.Join(cfg.Dir, storeName)
	_, err = os.Lstat(storePath)
	hadStore := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	path := keyring.File(filepath.Join(cfg.Dir, keyringName))
	if _, err := keyring.MakeIfMissing(ctx, path, func() (bool, error) { return hadStore, nil }, storePath, cfg.Rand, cfg.Now()); err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: storePath, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("open local relay: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	ring, err := keyring.Open(ctx, keyring.Config{Source: path, Needs: db.MasterKeys, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	if err := ring.CheckComplete(ctx, storePath); err != nil {
		return nil, fmt.Errorf("open local relay: %w", err)
	}
	key, err := openAPIKey(ctx, cfg, db)
	if err != nil {
		return nil, err
	}
	self := newIdentity(key)
	rl, err := relay.New(relay.Config{
		Store: db, Keyring: ring, Origin: cfg.Origin, TokenMark: self.tokenMark, OwnUser: inProcess, Local: true,
		WhyUnknown: func(ctx context.Context, token string) []string { return r.whyUnknown(ctx, self, token) },
		Limits:     cfg.Limits, Grace: cfg.Grace,
		Now: cfg.Now, Rand: cfg.Rand, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	o := &dataDir{relay: rl, store: db, apiKey: key, self: self, stop: stop}
	for _, run := range []func(context.Context) error{rl.Run, ring.Run} {
		o.running.Go(func() { _ = run(running) }) // returns nil when running ends
	}
	return o, nil
}

func (o *dataDir) close() error {
	o.stop()
	o.running.Wait()
	if err := o.store.Close(); err != nil {
		return fmt.Errorf("close local relay: %w", err)
	}
	return nil
}

// openAPIKey reads the directory's API key, or makes one. No payload depends on the key, so
// a lost key can be replaced by another key of the same owner.
func openAPIKey(ctx context.Context, cfg Config, db store.Store) (string, error) {
	path := filepath.Join(cfg.Dir, apiKeyName)
	b, err := private.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := relay.NewAPIKey(cfg.Rand)
		if err != nil {
			return "", err
		}
		if b, err = private.Create(path, []byte(key+"\n")); err != nil {
			return "", fmt.Errorf("make API key: %w", err)
		}
	} else if err != nil {
		return "", fmt.Errorf("read API key: %w", err)
	}
	key := string(bytes.TrimSpace(b))
	if !strings.HasPrefix(key, api.KeyPrefix) || strings.ContainsAny(key, " \t\r\n") {
		return "", fmt.Errorf("%s holds no API key; remove it, and another is made", path)
	}
	hash := relay.HashSecret(key)
	now := cfg.Now().UTC()
	known, err := db.APIKey(ctx, hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = db.PutAPIKey(ctx, store.APIKey{Hash: hash, Owner: Owner, Label: "local", CreatedAt: now})
	case err == nil && !known.Valid(now):
		return "", fmt.Errorf("the API key in %s was revoked or has expired; remove that file, and another key of the same owner is made", path)
	}
	if err != nil {
		return "", fmt.Errorf("open local relay: %w", err)
	}
	return key, nil
}

// callerKey gives the API key of a named caller. It is derived from the directory's key, so
// it is always the same.
func (o *dataDir) callerKey(ctx context.Context, name string, now time.Time) (string, error) {
	mac := hmac.New(sha256.New, []byte(o.apiKey))
	mac.Write([]byte("kubbi-mcp/local/1/caller/" + name))
	key := api.KeyPrefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	err := o.store.PutAPIKey(ctx, store.APIKey{
		Hash: relay.HashSecret(key), Owner: "caller/" + name, Label: name, CreatedAt: now.UTC(),
	})
	if err != nil {
		return "", fmt.Errorf("make the API key of %q: %w", name, err)
	}
	return key, nil
}
