package page

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxText is how many bytes of a text are shown. The whole text can be saved.
const maxText = 256 << 10

// Payload is a page with a payload, for a browser without scripts.
type Payload struct {
	Package   bool
	Items     []Item // a single content is one item
	Remaining *int   // retrievals that are left; nil: unlimited
	Burned    bool
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Item is a file of a package, or a single content, which has no name.
type Item struct {
	Name, ContentType, Role string
	Data                    []byte
}

// Size is its length in bytes.
func (i Item) Size() int64 { return int64(len(i.Data)) }

// Filename is the name to save it as.
func (i Item) Filename() string {
	if i.Name != "" {
		return i.Name
	}
	return ContentName(i.ContentType)
}

// ContentName is the name to save a single content as.
func ContentName(contentType string) string {
	switch contentType {
	case "application/json":
		return "content.json"
	case "text/markdown":
		return "content.md"
	case "text/csv":
		return "content.csv"
	}
	return "content.txt"
}

// ZipName is the name to save all files as.
const ZipName = "kubbi.zip"

// ZipHeader is the header of a file in the zip of all files.
func ZipHeader(name string, at time.Time) *zip.FileHeader {
	return &zip.FileHeader{Name: name, Method: zip.Store, Modified: at.UTC()}
}

// rasters are the types that are shown as images. SVG is not among them, because it is
// a document that may hold scripts.
var rasters = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}

// Image is the item as an image; "": it is not an image.
func (i Item) Image() template.URL {
	if !slices.Contains(rasters, i.ContentType) {
		return ""
	}
	return dataURL(i.ContentType, i.Data)
}

// Save is a link that saves the item.
func (i Item) Save() template.URL { return dataURL("application/octet-stream", i.Data) }

func dataURL(contentType string, data []byte) template.URL {
	return template.URL("data:" + contentType + ";base64," + base64.StdEncoding.EncodeToString(data))
}

// isText reports whether the item can be shown as text.
func (i Item) isText() bool {
	main, _, _ := strings.Cut(i.ContentType, "/")
	if main == "audio" || main == "video" || main == "font" || slices.Contains(rasters, i.ContentType) {
		return false
	}
	return utf8.Valid(i.Data) && (main == "text" || bytes.IndexByte(i.Data, 0) < 0)
}

// Text is the beginning of the item as text, with JSON indented. It is "" if the item is
// empty or not text.
func (i Item) Text() string {
	if !i.isText() {
		return ""
	}
	data := i.Data
	if i.isJSON() && len(data) <= maxText {
		v := jsontext.Value(bytes.Clone(data))
		if v.Indent(jsontext.AllowDuplicateNames(true), jsontext.WithIndent("  ")) == nil {
			data = v
		}
	}
	if len(data) > maxText {
		data = data[:maxText]
		for !utf8.Valid(data) {
			data = data[:len(data)-1]
		}
	}
	return visible(string(data))
}

// Cut reports whether Text is only a part of the item.
func (i Item) Cut() bool { return i.isText() && len(i.Data) > maxText }

// maxShort is how many characters a text has that may be a secret.
const maxShort = 128

// Short reports whether the item is a single line of text, which may be a password. It is
// shown only when somebody asks for it.
func (i Item) Short() bool {
	text := strings.TrimSuffix(string(i.Data), "\n")
	return i.Name == "" && i.ContentType == "text/plain" && text != "" && utf8.RuneCountInString(text) <= maxShort && !strings.ContainsAny(text, "\r\n")
}

// Masked reports whether Text shows characters that are invisible in the item.
func (i Item) Masked() bool {
	if !i.isText() {
		return false
	}
	_, masked := mask(string(i.Data))
	return masked
}

func (i Item) isJSON() bool {
	return i.ContentType == "application/json" || strings.HasSuffix(i.ContentType, "+json")
}

// Tree is the item as a tree of JSON values. It is nil if the item is not JSON, has no object
// or array, or is too large.
func (i Item) Tree() *Node {
	if !i.isJSON() || len(i.Data) > maxText {
		return nil
	}
	return treeOf(i.Data)
}

// Zip is a link that saves all files.
func (p Payload) Zip() (template.URL, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, i := range p.Items {
		w, err := z.CreateHeader(ZipHeader(i.Filename(), p.CreatedAt))
		if err != nil {
			return "", err
		}
		if _, err := w.Write(i.Data); err != nil {
			return "", err
		}
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return dataURL("application/zip", b.Bytes()), nil
}

// ZipName is the constant ZipName, for the template.
func (p Payload) ZipName() string { return ZipName }

// Write writes the page.
func (p Payload) Write(w io.Writer) error { return pages.ExecuteTemplate(w, "payload", p) }

// SetHeaders sets the headers of the page.
func (p Payload) SetHeaders(h http.Header) { setHeaders(h, "img-src data:; form-action 'none'") }
