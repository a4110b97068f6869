package kubbi

import (
	"io"

	"kubbi-mcp/kubbi/api"
)

// WriteAnswer writes the payload as a service gives it in JSON, in the answer to a
// claim: what is sealed as it came. For one that ClaimSpooled, ClaimWithin or ClaimTo
// has put into a file, or that stands in memory.
func (s *Spooled) WriteAnswer(w io.Writer) error {
	if s.came != nil {
		s = s.came
	}
	if s.whole {
		r, err := s.Parts[0].Open()
		if err == nil {
			_, err = io.Copy(w, r)
		}
		return err
	}
	head := s.ClaimResponse
	head.Content, head.Files = nil, nil
	parts := make([]*sourced, len(s.Parts))
	for i, p := range s.Parts {
		parts[i] = &sourced{what: "the payload", json: s.Files == nil && p.ContentType == api.TypeJSON, Source: Source{
			Name: p.Name, ContentType: p.ContentType, Size: p.Size,
			Open: func() (io.ReadCloser, error) {
				r, err := p.Open()
				return io.NopCloser(r), err
			},
		}}
		if p.Role != nil {
			parts[i].Role = *p.Role
		}
		if s.Files != nil {
			parts[i].Encoding = s.Files[i].Encoding
		}
	}
	make := func() (payload, error) { return jsonFiles(&head, parts) }
	if s.Files == nil {
		make = func() (payload, error) { return jsonContent(&head, parts[0].quoted()...) }
	}
	body, err := make()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, body.open())
	return err
}
