package kubbi

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// typeJOSE is the content type of a sealed file, as others see it.
const typeJOSE = "application/jose"

// sealedName is the name of a sealed file, as others see it.
func sealedName(place int) string { return fmt.Sprintf("file-%d", place) }

// newSeal makes the key of a kubbi, and its metadata with the seal.
func newSeal(metadata any, text bool) (*sealKey, marked, error) {
	key, err := newSealKey()
	if err != nil {
		return nil, marked{}, err
	}
	m, err := key.mark(metadata, text)
	return key, m, err
}

// sendSealed seals a single content and sends that as a text.
func (c *Client) sendSealed(ctx context.Context, p SendParams) (*Sent, error) {
	inside, err := plainContent(p.Content, p.ContentType)
	if err != nil {
		return nil, err
	}
	key, metadata, err := newSeal(p.Metadata, false)
	if err != nil {
		return nil, err
	}
	p.Metadata = metadata
	if p.Content, err = key.seal(inside); err != nil {
		return nil, err
	}
	p.ContentType, p.Sealed = api.TypeText, false
	sent, err := c.Send(ctx, p)
	if err != nil {
		return nil, err
	}
	sent.ClaimURL, sent.ContentType = key.withKey(sent.ClaimURL), inside.contentType
	return sent, nil
}

// plainContent gives a single content as bytes: a text as itself, all else as
// its JSON.
func plainContent(content any, contentType string) (sealed, error) {
	raw, isText, err := encodeContent(content)
	if err != nil {
		return sealed{}, err
	}
	switch {
	case contentType == "" && isText:
		contentType = api.TypeText
	case contentType == "":
		contentType = api.TypeJSON
	case !slices.Contains(api.ContentTypes, contentType):
		return sealed{}, invalid("content_type must be one of %s", strings.Join(api.ContentTypes, ", "))
	case !isText && contentType != api.TypeJSON:
		return sealed{}, invalid("content must be a string when content_type is %s", contentType)
	}
	if contentType == api.TypeJSON {
		return sealed{contentType, sealedPart{Is: isContent}, raw}, nil
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return sealed{}, invalid("content is not valid UTF-8")
	}
	return sealed{contentType, sealedPart{Is: isContent}, text}, nil
}

// sendFilesSealed seals every file of a package, its name with it, and sends them
// under names that say nothing. Sealed, they stand in memory all together.
func (c *Client) sendFilesSealed(ctx context.Context, p SendFilesParams) (*Sent, error) {
	if len(p.Sources) == 0 {
		for _, f := range p.Files {
			p.Sources = append(p.Sources, Source{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Encoding: f.Encoding})
		}
	}
	if err := checkFiles(p.Sources); err != nil {
		return nil, err
	}
	binary := slices.ContainsFunc(p.Sources, func(s Source) bool { return s.Encoding != "" })
	key, metadata, err := newSeal(p.Metadata, !binary)
	if err != nil {
		return nil, err
	}
	p.Metadata = metadata
	files := make([]Source, len(p.Sources))
	for i, s := range p.Sources {
		var data []byte
		if p.Files != nil {
			data, err = plainFile(i+1, p.Files[i])
		} else {
			data, err = plainSource(i+1, s)
		}
		if err != nil {
			return nil, err
		}
		files[i], err = key.sealLarge(sealed{s.ContentType, sealedPart{File: i + 1, Files: len(files)}, data}, sealedLabel{s.Name, s.Role, s.Encoding})
		if err != nil {
			return nil, err
		}
	}
	p.Sources = files
	sent, err := c.sendSources(ctx, p)
	if err != nil {
		return nil, err
	}
	sent.ClaimURL = key.withKey(sent.ClaimURL)
	return sent, nil
}

// checkFiles looks at what the relay can't look at, as it is sealed.
func checkFiles(files []Source) error {
	if len(files) == 0 {
		return invalid("files is empty: a package has at least one")
	}
	all := make([]string, len(files))
	for i, f := range files {
		all[i] = f.Name
	}
	if err := checkNames(all); err != nil {
		return err
	}
	names := map[string]bool{}
	for i, f := range files {
		if fault := labelFault(sealedLabel{f.Name, f.Role, f.Encoding}, f.ContentType, names); fault != "" {
			return invalid("file %d %s", i+1, fault)
		}
	}
	return nil
}

// plainSource reads a file as its bytes.
func plainSource(place int, s Source) ([]byte, error) {
	source, err := s.file(place)
	if err != nil {
		return nil, err
	}
	data, err := source.whole()
	if err == nil && s.Encoding == "" && !utf8.Valid(data) {
		return nil, source.notText()
	}
	return data, err
}

// plainFile gives a file as its bytes.
func plainFile(place int, f File) ([]byte, error) {
	data := []byte(f.Content)
	if f.Encoding == api.EncodingBase64 {
		var err error
		data, err = base64.StdEncoding.Strict().DecodeString(f.Content)
		if err != nil || strings.ContainsAny(f.Content, "\r\n") {
			return nil, invalid("content of file %d must be base64: the standard alphabet, padded, without line breaks", place)
		}
	} else if !utf8.Valid(data) {
		return nil, invalid("content of file %d is not valid UTF-8: encode it in base64 and set its encoding", place)
	}
	return data, nil
}

// labelFault says what is wrong with a file's label or type, by the rules that a
// relay has for files it can read; "" for nothing. A name of the API reference is
// good even if Windows can't save it, as aux.h: another client may have sent it.
// names are those of the files before it, folded.
func labelFault(l sealedLabel, contentType string, names map[string]bool) string {
	switch name := api.FoldFileName(l.Name); {
	case !api.HostedFileName(l.Name) && api.FileNameFault(l.Name, api.DefaultLimits().FileNameBytes) != "":
		return "has no valid name"
	case names[name]:
		return "has the name of another one, ignoring case and Unicode form"
	default:
		names[name] = true
	}
	switch {
	case !api.IsMIME(contentType):
		return "has no valid content type: it is type/subtype without parameters"
	case l.Role != "" && !slices.Contains(api.Roles, l.Role):
		return "has a role that is not one of " + strings.Join(api.Roles, ", ")
	case l.Encoding != "" && l.Encoding != api.EncodingBase64:
		return "has an encoding that is not " + api.EncodingBase64
	}
	return ""
}
