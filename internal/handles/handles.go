// Package handles keeps claim URLs that no model may see.
//
// A handle is a claim URL, fragment included, under an id that is no secret: the id of the
// request whose answer it claims, or of the kubbi that was sent. A model gets the id, and a
// tool or a command that gets the id uses the claim URL.
//
// Each handle is a sealed file of its own, 0600, in the folder handles of the data directory
// (package sealedfile). Processes that share the directory share the handles. A file that is
// damaged, or not ours, is an error that names it. It concerns no other handle.
//
// A handle is forgotten, its file overwritten and removed, when its kubbi was claimed for good,
// its request withdrawn or its kubbi deleted, and in any case at ExpiresAt and Retention.
package handles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/sealedfile"
	"kubbi-mcp/kubbi/api"
)

// Retention is how long a handle stays after its ExpiresAt: as long as a relay says "expired"
// instead of "not found".
const Retention = 24 * time.Hour

// ErrNotFound says that there is no handle of an id, or that it belongs to another caller.
var ErrNotFound = errors.New("no such handle")

// Kind says what a handle's claim URL claims.
type Kind string

// The kinds.
const (
	Request Kind = "request" // the answer to a request
	Send    Kind = "send"    // a kubbi that was sent with handle: true
)

// Handle is a claim URL and what is known of it. Printing it shows no secret.
type Handle struct {
	ID        string      `json:"id"` // a UUID: of the request, or of the kubbi
	Kind      Kind        `json:"kind"`
	ClaimURL  string      `json:"claim_url"`          // with its fragment: a secret
	AnswerID  string      `json:"answer_id,omitzero"` // of a request: the id of its answer's kubbi
	Message   string      `json:"message,omitzero"`   // of a request
	Fields    []api.Field `json:"fields,omitzero"`    // of a request; none if it asks for files
	Files     bool        `json:"files,omitzero"`     // the request asks for files
	Variable  string      `json:"variable,omitzero"`  // of a send: the environment variable whose value it is, which no model may see
	ExpiresAt time.Time   `json:"expires_at"`         // when there is nothing to claim any more, at the latest
}

// HasSecret reports whether the handle claims what no model may see: the value of a variable,
// or an answer with a secret field.
func (h Handle) HasSecret() bool {
	if h.Variable != "" {
		return true
	}
	for _, f := range h.Fields {
		if f.Secret {
			return true
		}
	}
	return false
}

// Use is a command line that uses what the handle claims and shows it to nobody.
func (h Handle) Use() string {
	from := "--env-from " + h.ID
	if h.Variable != "" {
		from = "--env " + h.Variable + "=" + h.ID
	}
	return "kubbi-mcp run " + from + " -- command"
}

// Format writes id and kind alone, for every verb.
func (h Handle) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, string(h.Kind)+" "+h.ID) }

// Store has the handles of a data directory that a caller may use.
type Store struct {
	files  sealedfile.Folder
	caller string
}

// New gives the handles of a data directory to a caller: its own, or all of them if caller is
// "", the directory's owner. It touches no file.
func New(dataDir, caller string) *Store {
	return &Store{files: sealedfile.Folder{Data: dataDir, Name: "handles", Purpose: atrest.Handle}, caller: caller}
}

// record is what a file holds.
type record struct {
	Handle
	Caller string `json:"caller,omitzero"`
}

// Put keeps a handle of this caller. It is durable when Put returns. If there is one of that
// id, the error matches fs.ErrExist. Put also forgets the handles whose time is over.
func (s *Store) Put(ctx context.Context, h Handle) error {
	name, ok := parseID(h.ID)
	if !ok || h.ClaimURL == "" || h.ExpiresAt.IsZero() || h.Kind != Request && h.Kind != Send {
		return errors.New("keep handle: it lacks id, kind, claim URL or expiry")
	}
	h.ID = name
	_ = s.Sweep(ctx) // what can't be removed now concerns other handles
	plain, err := json.Marshal(record{h, s.caller})
	if err != nil {
		return fmt.Errorf("keep handle: %w", err)
	}
	if err := s.files.Create(ctx, name, plain); err != nil {
		return fmt.Errorf("keep handle: %w", err)
	}
	return nil
}

// Get gives the handle of an id. Its error is ErrNotFound, also if the handle's time is over,
// or sealedfile.ErrDamaged, or that of the file.
func (s *Store) Get(ctx context.Context, id string) (Handle, error) {
	name, ok := parseID(id)
	if !ok {
		return Handle{}, ErrNotFound
	}
	h, err := s.read(ctx, name)
	if err == nil && !time.Now().Before(h.ExpiresAt.Add(Retention)) {
		err = ErrNotFound
	}
	if err != nil {
		return Handle{}, err
	}
	return h, nil
}

func (s *Store) read(ctx context.Context, name string) (Handle, error) {
	plain, err := s.files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return Handle{}, ErrNotFound
	}
	if err != nil {
		return Handle{}, fmt.Errorf("read handle: %w", err)
	}
	var r record
	if err := json.Unmarshal(plain, &r); err != nil || r.ID != name {
		return Handle{}, fmt.Errorf("read handle: %s %w: it holds no handle of this id", s.files.Path(name), sealedfile.ErrDamaged)
	}
	if s.caller != "" && s.caller != r.Caller {
		return Handle{}, ErrNotFound
	}
	return r.Handle, nil
}

// Delete forgets a handle. One that does not exist, or belongs to another caller, is no error.
func (s *Store) Delete(ctx context.Context, id string) error {
	name, ok := parseID(id)
	if !ok {
		return nil
	}
	if _, err := s.read(ctx, name); errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.files.Remove(name); err != nil {
		return fmt.Errorf("forget handle: %w", err)
	}
	return nil
}

// Sweep forgets the caller's handles whose time is over. Its error names the files that could
// not be read or removed.
func (s *Store) Sweep(ctx context.Context) error {
	_, err := s.list(ctx, Retention) // no younger one is over
	return err
}

// List gives the caller's handles, in the order of their ids, and forgets those whose time is
// over. Its error names the files that could not be read or removed; the others are there.
func (s *Store) List(ctx context.Context) (all []Handle, err error) { return s.list(ctx, 0) }

func (s *Store) list(ctx context.Context, age time.Duration) (all []Handle, err error) {
	names, err := s.files.Names(age)
	if err != nil {
		return nil, fmt.Errorf("list handles: %w", err)
	}
	var faults []error
	for _, name := range names {
		if id, ok := parseID(name); !ok || id != name {
			continue
		}
		h, err := s.read(ctx, name)
		if err == nil && !time.Now().Before(h.ExpiresAt.Add(Retention)) {
			err = s.files.Remove(name)
		} else if err == nil {
			all = append(all, h)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			faults = append(faults, err)
		}
	}
	return all, errors.Join(faults...)
}

// parseID reads an id, and gives it in lower case.
func parseID(s string) (string, bool) {
	u, err := uuid.Parse(s)
	return u.String(), err == nil && len(s) == 36
}
