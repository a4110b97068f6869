package relay

import (
	"archive/zip"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/page"
)

const maxForm = 4 << 10 // bytes of the body of the claim page's form

// orPage answers a browser with a page, and every other client with api.
func orPage(page, api handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Vary", "Accept")
		if wantsPage(r) {
			return page(w, r)
		}
		return api(w, r)
	}
}

// wantsPage reports whether a request comes from a browser that opens a claim URL, a request
// URL or the front page, or sends the form of the claim page.
func wantsPage(r *http.Request) bool {
	claim := strings.HasPrefix(r.URL.Path, api.PathClaim)
	if !claim && !ofRequest(r) && r.URL.Path != "/" || strings.HasSuffix(r.URL.Path, api.SuffixInspect) {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); !claim || err != nil || t != "application/x-www-form-urlencoded" {
			return false
		}
	default:
		return false
	}
	return quality(r, "text/html") > quality(r, api.TypeJSON)
}

// ofRequest reports whether an HTTP request is for a request URL.
func ofRequest(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, api.PathAnswer) }

// htmlPage is a page of package page.
type htmlPage interface {
	SetHeaders(h http.Header)
	Write(w io.Writer) error
}

func writePage(w http.ResponseWriter, status int, p htmlPage) error {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return err
	}
	p.SetHeaders(w.Header())
	w.Header().Set("Vary", "Accept")
	writeWhole(w, status, b.Bytes())
	return nil
}

// previewPage answers GET /r/:token for a browser: a description of the kubbi, and a button.
// It counts no retrieval.
func (rl *Relay) previewPage(w http.ResponseWriter, r *http.Request) error {
	req, err := rl.readToken(nil, r)
	if err != nil {
		return err
	}
	k, err := rl.activeKubbi(r.Context(), req)
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
			Remaining: remaining(k.Kubbi, k.Retrievals), ExpiresAt: k.ExpiresAt, Seal: sealOf(k.Metadata),
		},
		Relay: rl.shown(),
		Says:  saidIn(k.Metadata),
		Claim: api.PathClaim + req.token.text + api.SuffixClaim,
		Key:   tokenOf(key).text,
		Now:   rl.now(),
	}
	for _, f := range k.Files {
		p.Files = append(p.Files, page.File{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Size: f.SizeBytes})
	}
	return writePage(w, http.StatusOK, p)
}

// sealOf reads the seal of a sealed kubbi (docs/wire.md) from its metadata; nil: the kubbi
// is not sealed. A seal that can't be read has version 0.
func sealOf(metadata []byte) *page.Seal {
	var m struct {
		Sealed jsontext.Value `json:"sealed"`
	}
	if len(metadata) == 0 || json.Unmarshal(metadata, &m) != nil || m.Sealed.Kind() != '{' {
		return nil
	}
	var s struct {
		V   int              `json:"v"`
		KID string           `json:"kid"`
		To  []jsontext.Value `json:"to"`
	}
	if json.Unmarshal(m.Sealed, &s) != nil {
		return &page.Seal{}
	}
	return &page.Seal{Version: s.V, KID: s.KID, To: len(s.To) > 0}
}

// saidIn reads what metadata says to people: its members in their order, without the seal.
func saidIn(metadata []byte) (said []page.Said) {
	d := jsontext.NewDecoder(bytes.NewReader(metadata), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil
		}
		s := page.Said{Name: name.String()}
		v, err := d.ReadValue()
		if err != nil {
			return nil
		}
		if s.Value = string(v); v.Kind() == '"' {
			if err := json.Unmarshal(v, &s.Value); err != nil {
				return nil
			}
		}
		if s.Name != "sealed" {
			said = append(said, s)
		}
	}
	return said
}

// claimPage answers POST /r/:token/claim from the form of the claim page. The answer is a
// page, or a download if the payload is large.
func (rl *Relay) claimPage(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return invalid("the form can't be read")
	}
	if key := r.PostForm.Get("key"); key != "" && r.Header.Get(api.HeaderIdempotencyKey) == "" {
		r.Header.Set(api.HeaderIdempotencyKey, key)
	}
	c, err := rl.claimPayload(w.Header(), r)
	if err != nil {
		return err
	}
	defer c.close()
	// A page uses three times the payload's memory until its client has read it.
	held := rl.pages.reserve()
	defer held.free()
	if c.Size > page.MaxShown || held.grow(3*c.Size) != nil {
		return c.download(w)
	}
	o := page.Payload{
		Package: c.Package, Remaining: remaining(c.Kubbi, c.claim.Number), Burned: c.claim.Burned,
		CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt,
	}
	files := c.Files
	if !c.Package {
		files = []api.RawFile{{ContentType: c.ContentType, SizeBytes: c.Size}}
	}
	for _, f := range files {
		b := bytes.NewBuffer(make([]byte, 0, f.SizeBytes))
		if err := c.copy(b, f.SizeBytes); err != nil {
			return err
		}
		o.Items = append(o.Items, page.Item{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Data: b.Bytes()})
	}
	if err := c.done(); err != nil {
		return err
	}
	return writePage(w, http.StatusOK, o)
}

// download answers with a download: a single content, or a zip of all files.
func (c *claimed) download(w http.ResponseWriter) error {
	name := page.ZipName
	if !c.Package {
		name = page.ContentName(c.ContentType)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	out := bufio.NewWriterSize(clientWriter{w}, answerBuffer)
	if c.Package {
		z := zip.NewWriter(out)
		for _, f := range c.Files {
			to, err := z.CreateHeader(page.ZipHeader(f.Name, c.CreatedAt))
			if err != nil {
				return err
			}
			if err := c.copy(to, f.SizeBytes); err != nil {
				return err
			}
		}
		if err := z.Close(); err != nil {
			return err
		}
	} else if err := c.copy(out, c.Size); err != nil {
		return err
	}
	if err := c.done(); err != nil {
		return err
	}
	return out.Flush()
}

// problems are what a page says about errors that fail has made, by their codes.
var problems = map[api.Code]page.Reason{
	api.CodeNotFound: page.Unknown, api.CodeRateLimited: page.TooMany, api.CodeUnavailable: page.Unavailable,
	api.CodeValidation: page.Refused, api.CodeMethodNotAllowed: page.Refused,
}

// problemPage answers a browser with an error.
func problemPage(w http.ResponseWriter, r *http.Request, e apiError) error {
	p := page.Problem{Reason: e.problem, Retry: e.retryAfter}
	if p.Reason == page.Failed {
		p.Reason = problems[e.code]
	}
	if back, ok := strings.CutSuffix(r.URL.Path, api.SuffixClaim); ok && p.Reason <= page.Refused {
		p.Back = back
	}
	w.Header().Del("Content-Disposition") // of a download that has failed
	return writePage(w, api.Statuses[e.code], p)
}
