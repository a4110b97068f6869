package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/internal/keep"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools/claims"
)

// source is what one claim gives, for all uses of it.
type source struct {
	text     string // as the first use gives it: claim URL, token or id
	claimURL string // "": it was kept, so there is nothing to claim
	handle   *handles.Handle
	keepName string
	uses     []secretUse
	payload  *payload // nil: not yet claimed
}

// payload is what a source holds.
type payload struct {
	size   int64
	open   func() (io.Reader, error)
	fields []api.Field // of the request that it answers; none if it answers no request for fields
}

// sources finds what each use names, and refuses what can't be used before anything is claimed.
func (r *secretRun) sources(claimer *claims.Claimer) (all []*source, err error) {
	byName := map[string]*source{} // by what the uses give, and by claim URL
	for _, u := range r.uses {
		name := keepName(u.url)
		s := byName[name]
		if s == nil {
			if s, err = r.source(claimer, u); err != nil {
				return nil, err
			}
			claimed := keepName(s.claimURL)
			if same := byName[claimed]; same != nil { // once by its id, once by its claim URL
				s = same
			} else {
				all = append(all, s)
			}
			byName[name] = s
			if claimed != "" {
				byName[claimed] = s
			}
		}
		s.uses = append(s.uses, u)
		if why := u.handleFault(s.handle); why != "" {
			return nil, usagef("%s: %s; nothing was claimed", u, why)
		}
	}
	return all, nil
}

// source finds what a use names. What an earlier run of this session has kept need not be
// claimed.
func (r *secretRun) source(claimer *claims.Claimer, u secretUse) (*source, error) {
	s := &source{text: u.url, keepName: keepName(u.url)}
	secret, err := r.kept.Get(s.keepName)
	switch {
	case err == nil:
		if s.payload, err = readKept(secret); err != nil {
			return nil, fmt.Errorf("%s: %w", u, err)
		}
	case !errors.Is(err, keep.ErrNone):
		return nil, fmt.Errorf("%s: %w; kubbi-mcp run --forget forgets what is kept; nothing was claimed", u, err)
	default:
		if s.claimURL, s.handle, err = claimer.Resolve(r.app.ctx, u.url); err != nil {
			return nil, fmt.Errorf("claim: %s: %w", u, err)
		}
	}
	return s, nil
}

// handleFault says why a use can't take what a handle claims, as far as that is known before
// the claim.
func (u secretUse) handleFault(h *handles.Handle) string {
	switch {
	case h == nil || h.Kind != handles.Request:
		return ""
	case h.Files && u.kind != asFile:
		return "the request asks for files, not for values: use --file"
	case h.Files:
		return ""
	case u.kind != asVariables:
		return fieldsFault(h.Fields)
	}
	for _, f := range h.Fields {
		if why := strangersVariableFault(f.Name); why != "" {
			return why
		}
	}
	return ""
}

// fieldsFault says why an answer is no single value.
func fieldsFault(fields []api.Field) string {
	if len(fields) > 1 {
		return fmt.Sprintf("the answer has %d fields: use --env-from", len(fields))
	}
	return ""
}

// received notes what was claimed.
func (s *source) received(got *kubbi.Claimed) error {
	if len(got.Parts) != 1 {
		return errors.New("this is a package of several files")
	}
	part := got.Parts[0]
	s.payload = &payload{size: part.Size, open: part.Open}
	if s.handle != nil {
		s.payload.fields = s.handle.Fields
	}
	return nil
}

// open opens what a use takes: the whole payload, or the value of the only field.
func (s *source) open(u secretUse) (io.Reader, error) {
	content, err := s.payload.open()
	if err != nil || u.kind == asVariables || len(s.payload.fields) == 0 {
		return content, err
	}
	if why := fieldsFault(s.payload.fields); why != "" {
		return nil, errors.New(why)
	}
	object, err := io.ReadAll(content)
	if err != nil {
		return nil, err
	}
	members, err := membersOf(object, s.payload.fields)
	if err != nil {
		return nil, err
	}
	return strings.NewReader(members[s.payload.fields[0].Name]), nil
}

// membersOf reads a JSON object of strings. If there are fields, it must have exactly them.
func membersOf(object []byte, fields []api.Field) (map[string]string, error) {
	var members map[string]string
	if err := json.Unmarshal(object, &members); err != nil || members == nil {
		return nil, errors.New("this is no JSON object of strings, which gives several variables: use --env NAME=URL for a single value")
	}
	if len(fields) == 0 {
		return members, nil
	}
	for _, f := range fields {
		if _, ok := members[f.Name]; !ok {
			return nil, fmt.Errorf("the answer lacks the field %s of its request", f.Name)
		}
	}
	if len(members) != len(fields) {
		return nil, errors.New("the answer has more fields than its request")
	}
	return members, nil
}

// fits refuses, before a claim, what a use can't take.
func (s *source) fits(seen *kubbi.Inspected, r *secretRun) error {
	claimURL, err := kubbi.ParseClaimURL(s.claimURL)
	if err != nil {
		return err
	}
	size := seen.PayloadSize
	if seen.TotalSizeBytes != nil {
		size = *seen.TotalSizeBytes
	}
	switch {
	case seen.Sealed() && claimURL.Fragment() == "" && len(seen.Recipients) == 0:
		return fmt.Errorf("%w: the claim URL lacks its part after #; nothing was claimed", kubbi.ErrSealed)
	case seen.Sealed(): // only the claim shows what is in it
		return nil
	case seen.Type == api.TypePackage && (seen.FileCount == nil || *seen.FileCount != 1):
		return usagef("this is a package of several files; nothing was claimed")
	case r.keepFor > 0 && size > keep.MaxBytes:
		return usagef("this is too large for --keep; nothing was claimed")
	}
	for _, u := range s.uses {
		if why := u.sizeFault(size, r.scrubs); why != "" {
			return usagef("%s; nothing was claimed", why)
		}
	}
	return nil
}

// sizeFault says why a use can't take a value of so many bytes.
func (u secretUse) sizeFault(n int64, scrubs bool) string {
	switch {
	case n <= maxValue:
		return ""
	case u.kind != asFile:
		return "this is larger than " + size(maxValue) + ", which a variable can't hold: use --file"
	case scrubs:
		return "this is larger than " + size(maxValue) + ", and too large to look for in the command's output: use --no-scrub"
	}
	return ""
}
