package relay

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/page"
	"kubbi-mcp/relay/store"
)

const (
	maxForm  = 4 << 10  // bytes of the body of the claim page's form
	maxPages = 48 << 20 // bytes that pages with payloads may hold at the same time
)

// forPeople makes a route that answers a browser with a page, and everybody
// else as other does.
func (rl *Relay) forPeople(asPage handler, other http.HandlerFunc) http.HandlerFunc {
	shown := rl.serve(asPage)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if wantsPage(r) {
			shown(w, r)
		} else {
			other(w, r)
		}
	}
}

// wantsPage says whether a request is a browser's that opens a claim URL or
// sends the claim page's form.
func wantsPage(r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, api.PathClaim) || strings.HasSuffix(r.URL.Path, api.SuffixInspect) {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
			return false
		}
	default:
		return false
	}
	return prefersHTML(r.Header.Values("Accept"))
}

// prefersHTML says whether an Accept header names text/html, and no JSON that it
// would rather have. One that takes anything gets what the API has always given.
func prefersHTML(accept []string) bool {
	var html, other float64
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		t, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(s, 64); err != nil {
				continue
			}
		}
		switch t {
		case "text/html":
			html = max(html, q)
		case api.TypeJSON:
			other = max(other, q)
		}
	}
	return html > other
}

// aPage is what package page can write.
type aPage interface {
	SetHeaders(h http.Header)
	Write(w io.Writer) error
}

func writePage(w http.ResponseWriter, status int, p aPage) error {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return err
	}
	h := w.Header()
	p.SetHeaders(h)
	h.Set("Vary", "Accept")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // see writeJSON
	return nil
}

// previewPage answers GET /r/:token for a browser: what preview says, and a
// button. Nothing is counted.
func (rl *Relay) previewPage(w http.ResponseWriter, r *http.Request) error {
	k, err := rl.look(r)
	if err != nil {
		return err
	}
	key, err := randomBytes(rl.cfg.Rand)
	if err != nil {
		return fmt.Errorf("make idempotency key: %w", err)
	}
	p := page.Preview{
		Kubbi: page.Kubbi{
			Package: k.Package, ContentType: k.ContentType, Size: k.Size,
			Remaining: remaining(k.Kubbi, k.Retrievals), ExpiresAt: k.ExpiresAt, Seal: sealOf(k.metadata),
		},
		Claim: api.PathClaim + r.PathValue("token") + api.SuffixClaim,
		Key:   tokenOf(key).text,
		Now:   rl.now(),
	}
	for _, f := range k.files {
		p.Files = append(p.Files, page.File{Name: f.name, ContentType: f.contentType, Role: f.role, Size: f.size})
	}
	return writePage(w, http.StatusOK, p)
}

// sealOf finds in metadata that a kubbi is sealed, as docs/sealed.md has it. A
// seal that can't be read has version 0.
func sealOf(metadata []byte) *page.Seal {
	var m struct {
		Sealed jsontext.Value `json:"sealed"`
	}
	if len(metadata) == 0 || json.Unmarshal(metadata, &m) != nil || m.Sealed.Kind() != '{' {
		return nil
	}
	var s struct {
		V   int    `json:"v"`
		KID string `json:"kid"`
	}
	if json.Unmarshal(m.Sealed, &s) != nil {
		return &page.Seal{}
	}
	return &page.Seal{Version: s.V, KID: s.KID}
}

// claimPage answers POST /r/:token/claim for the claim page's form: with a page
// or, where there is much, with a file to save.
func (rl *Relay) claimPage(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return invalid("the form can't be read")
	}
	if key := r.PostForm.Get("key"); key != "" && r.Header.Get(api.HeaderIdempotencyKey) == "" {
		r.Header.Set(api.HeaderIdempotencyKey, key)
	}
	c, err := rl.take(w.Header(), r)
	if err != nil {
		return err
	}
	defer c.close()
	// A page takes three times as much memory until its client has read it.
	held := &share{of: rl.pages}
	defer held.free()
	if c.Size > page.MaxShown || held.grow(3*c.Size) != nil {
		return rl.saveAs(w, c)
	}
	o := page.Opened{
		Package: c.Package, Remaining: remaining(c.Kubbi, c.claimed.Number), Burned: c.claimed.Burned,
		CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt,
	}
	err = c.pieces(func(part int, plain []byte) error {
		if part == len(o.Items) {
			i := page.Item{ContentType: c.ContentType}
			if c.Package {
				f := c.files[part]
				i = page.Item{Name: f.name, ContentType: f.contentType, Role: f.role}
			}
			o.Items = append(o.Items, i)
		}
		o.Items[part].Data = append(o.Items[part].Data, plain...)
		return nil
	})
	if err != nil {
		return err
	}
	return writePage(w, http.StatusOK, o)
}

// saveAs answers with a file to save: a single content, or a zip of all files.
func (rl *Relay) saveAs(w http.ResponseWriter, c *taken) error {
	name := page.ZipName
	if !c.Package {
		name = page.ContentName(c.ContentType)
	}
	b := bufio.NewWriterSize(clientWriter{w}, answerBuffer)
	z, to, at := zip.NewWriter(b), io.Writer(b), -1
	err := c.pieces(func(part int, plain []byte) (err error) {
		if at < 0 { // the first chunk has opened
			h := w.Header()
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
		}
		if c.Package && part != at {
			if to, err = z.CreateHeader(page.ZipHeader(c.files[part].name, c.CreatedAt)); err != nil {
				return err
			}
		}
		at = part
		_, err = to.Write(plain)
		return err
	})
	if err != nil {
		return err
	}
	if c.Package {
		if err := z.Close(); err != nil {
			return err
		}
	}
	return b.Flush()
}

// problemPage answers a browser with an error.
func problemPage(w http.ResponseWriter, r *http.Request, e *apiError, err error) error {
	p := page.Problem{Reason: page.Failed, Retry: e.retryAfter}
	switch {
	case errors.Is(err, store.ErrBurned):
		p.Reason = page.Burned
	case errors.Is(err, store.ErrDeleted):
		p.Reason = page.Deleted
	case e.code == api.CodeExpired:
		p.Reason = page.Expired
	case e.code == api.CodeNotFound:
		p.Reason = page.Unknown
	case e.code == api.CodeRateLimited:
		p.Reason = page.TooMany
	case e.code == api.CodeUnavailable:
		p.Reason = page.Unavailable
	case e.code == api.CodeValidation, e.code == api.CodeMethodNotAllowed:
		p.Reason = page.Refused
	}
	if back, ok := strings.CutSuffix(r.URL.Path, api.SuffixClaim); ok && p.Reason >= page.Refused {
		p.Back = back
	}
	return writePage(w, api.Statuses[e.code], p)
}
