package kubbi

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi/api"
)

// createSealed seals an upload and sends it. The key goes into the claim URL, or encrypted
// into the metadata if there are recipients.
func (c *Client) createSealed(ctx context.Context, u *upload, to []Recipient) (*Sent, error) {
	key := newSealKey()
	outside, err := u.seal(key, to, nil)
	if err != nil {
		return nil, err
	}
	sent, err := c.create(ctx, outside)
	if err != nil {
		return nil, err
	}
	if len(to) == 0 {
		sent.ClaimURL = key.withKey(sent.ClaimURL)
	}
	sent.ContentType, sent.FileCount, sent.TotalSizeBytes = u.request.ContentType, nil, nil
	if u.isPackage {
		sent.FileCount, sent.TotalSizeBytes = new(len(u.contents)), new(u.size())
	}
	return sent, nil
}

// seal gives the upload of a package of one file, which is what u is when sealed. Only the
// segment that is being sealed is in memory. binding is as in wrapFor.
func (u *upload) seal(key *sealKey, to []Recipient, binding []byte) (*upload, error) {
	if err := u.checkInside(); err != nil {
		return nil, err
	}
	text := !slices.ContainsFunc(u.contents, func(o *outgoing) bool { return o.Encoding != "" })
	wrapped, err := key.wrapFor(to, binding)
	if err != nil {
		return nil, err
	}
	metadata, err := key.addSeal(u.request.Metadata, text, wrapped...)
	if err != nil {
		return nil, err
	}
	if most := api.DefaultLimits().MetadataBytes; len(wrapped) > 0 && len(metadata) > most {
		fit := max(0, len(wrapped)-(len(metadata)-most+sealedForBytes-1)/sealedForBytes)
		return nil, invalid("the keys of %d recipients and the metadata have %d bytes, and a kubbi's metadata at most %d: with this metadata it can have %d recipients",
			len(wrapped), len(metadata), most, fit)
	}
	inside, outside := *u, *u
	inside.request.Metadata = json.RawMessage(metadata)
	body, err := inside.bodyWithoutTerms()
	if err != nil {
		return nil, err
	}
	s, err := key.newSealing(body.size())
	if err != nil {
		return nil, err
	}
	file := Source{
		Name: api.SealedName, ContentType: api.TypeSealed, Encoding: api.EncodingBase64, Size: sealedSize(s.size),
		Open: func() (io.ReadCloser, error) { return s.open(body.open()), nil },
	}
	outside.contents, outside.isPackage, outside.jsonOnly = []*outgoing{{Source: file, label: "the sealed payload"}}, true, false
	outside.request.ContentType, outside.request.Metadata = "", inside.request.Metadata
	return &outside, nil
}

// checkInside makes the checks that a service can't make, because the contents are sealed.
func (u *upload) checkInside() error {
	if !u.isPackage {
		only := u.contents[0]
		switch {
		case !slices.Contains(api.ContentTypes, only.ContentType):
			return invalid("content_type must be one of %s", strings.Join(api.ContentTypes, ", "))
		case u.jsonOnly:
			return invalid("content must be a string when content_type is %s", only.ContentType)
		}
		return only.checkJSON()
	}
	names, size := map[string]bool{}, int64(0)
	for i, o := range u.contents {
		if fault := fileFault(o.rawFile(), names); fault != "" {
			return invalid("file %d %s", i+1, fault)
		}
		if o.Size > maxSealedPlain-size {
			return invalid("the files have more bytes together than can be sealed")
		}
		size += o.Size
	}
	return nil
}

// fileFault says what is wrong with a file in a sealed kubbi; "": nothing. Its rules are
// those of a relay for files that are not sealed, with one exception: it allows a name of
// the API reference that Windows can't save, such as aux.h, since another client may have
// sent it. names are the folded names of the files before this one.
func fileFault(f api.RawFile, names map[string]bool) string {
	switch name := filename.Fold(f.Name); {
	case !filename.IsASCII(f.Name) && filename.Fault(f.Name) != "":
		return "has no valid name"
	case names[name]:
		return "has the name of another one, ignoring case and Unicode form"
	default:
		names[name] = true
	}
	switch {
	case !content.IsMediaType(f.ContentType):
		return "has no valid content type: it is type/subtype without parameters"
	case f.Role != "" && !slices.Contains(api.Roles, f.Role):
		return "has a role that is not one of " + strings.Join(api.Roles, ", ")
	case f.Encoding != "" && f.Encoding != api.EncodingBase64:
		return "has an encoding that is not " + api.EncodingBase64
	}
	return ""
}
