package relay

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
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
	maxForm       = 4 << 10  // bytes of the body of the claim page's form
	maxShownPages = 16 << 20 // bytes of payloads in large pages that are being written at once
)

// mayShow says whether there is room for a page with a payload of that size, which
// takes three times as much memory until its client has read it. Otherwise the
// payload is sent to be saved, piece by piece. hasShown must follow where it is true.
func (rl *Relay) mayShow(size int64) bool {
	if size > maxWholeAnswer && rl.shown.Add(size) > maxShownPages {
		rl.shown.Add(-size)
		return false
	}
	return true
}

func (rl *Relay) hasShown(size int64) {
	if size > maxWholeAnswer {
		rl.shown.Add(-size)
	}
}

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
	key, err := newToken(rl.cfg.Rand)
	if err != nil {
		return err
	}
	p := page.Preview{
		Kubbi: page.Kubbi{
			Package: k.Package, ContentType: k.ContentType, Size: k.Size,
			Remaining: remaining(k, k.Retrievals), ExpiresAt: k.ExpiresAt, Seal: sealOf(k.Metadata),
		},
		Claim: api.PathClaim + r.PathValue("token") + api.SuffixClaim,
		Key:   key.text,
		Now:   rl.now(),
	}
	for _, f := range k.Files {
		p.Files = append(p.Files, page.File{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Size: f.Size})
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
	if c.Size > page.MaxShown || !rl.mayShow(c.Size) {
		return rl.saveAs(w, c)
	}
	defer rl.hasShown(c.Size)
	o := page.Opened{
		Package: c.Package, Remaining: remaining(&c.Kubbi, c.Number), Burned: c.Burned,
		CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt,
	}
	for p, err := range c.pieces() {
		if err != nil {
			return err
		}
		if p.part == len(o.Items) {
			i := page.Item{ContentType: c.ContentType}
			if c.Package {
				f := c.Files[p.part]
				i = page.Item{Name: f.Name, ContentType: f.ContentType, Role: f.Role}
			}
			o.Items = append(o.Items, i)
		}
		o.Items[p.part].Data = append(o.Items[p.part].Data, p.plain...)
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
	z, file, part := zip.NewWriter(b), io.Writer(b), -1
	for p, err := range c.pieces() {
		if err != nil {
			return err
		}
		if part < 0 { // the first chunk has opened
			h := w.Header()
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
		}
		if c.Package && p.part != part {
			if file, err = z.CreateHeader(page.ZipHeader(c.Files[p.part].Name, c.CreatedAt)); err != nil {
				return err
			}
		}
		part = p.part
		if _, err := file.Write(p.plain); err != nil {
			return err
		}
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
