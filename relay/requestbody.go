package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// maxAskBody is the longest body of a request that is read, in bytes. Every valid one fits,
// even if each character is escaped.
const maxAskBody = 12*api.MaxRequestMessage + api.MaxRequestFields*(6*api.MaxFieldName+256) + maxNotify + 16<<10

// ask answers POST /api/v1/requests. A repeated one, recognised by its Idempotency-Key, gets
// the first answer again.
func (rl *Relay) ask(ctx context.Context, _ http.Header, req createRequest) (resp api.AskResponse, err error) {
	c, replay, err := rl.produce(ctx, req, requester(req.by.Owner), func(r *http.Request, limits limits, request hash.Hash, held *reservation) (*draft, error) {
		d, err := readAsk(r, limits, request, held)
		if err == nil {
			err = rl.prepareReply(d.ask, req.by)
		}
		return d, err
	})
	switch {
	case err != nil:
		return resp, err
	case replay != nil:
		return rl.askedBefore(ctx, req.idempotencyKey, replay)
	}
	return rl.askResponse(c.kubbi, c.draft.ask, c.token, c.draft.ask.reply), nil
}

// prepareReply makes the id and the claim token of an answer, which gets the limits of the key.
func (rl *Relay) prepareReply(a *ask, by *store.APIKey) error {
	a.MaxBytes, a.Daily, a.Active = by.MaxBytes, by.Quota.Daily, by.Quota.Active
	number, err := rl.replyNumber()
	if err != nil {
		return err
	}
	if a.reply, err = rl.newClaimToken(number); err != nil {
		return err
	}
	a.AnswerID, err = number.ID(rl.cfg.Rand)
	return err
}

// replyNumber draws the number of an answer. Nothing holds it until the answer is stored, so
// nobody else may draw it in the meantime. Other numbers begin with the first of a millisecond,
// so this is one of the last half of a millisecond, and random: of 32 million numbers.
func (rl *Relay) replyNumber() (store.Number, error) {
	var b [4]byte
	if _, err := io.ReadFull(rl.cfg.Rand, b[:]); err != nil {
		return 0, fmt.Errorf("make number: %w", err)
	}
	const half = 1 << 15
	n := binary.BigEndian.Uint32(b[:])
	at := rl.now().Add(time.Duration(n/half%1000) * time.Millisecond)
	return store.NumberAt(at) + half + store.Number(n%half), nil
}

// askedBefore answers a repeated request. If it has ended, the error says how.
func (rl *Relay) askedBefore(ctx context.Context, idempotencyKey string, p *store.Replay) (resp api.AskResponse, err error) {
	if err := rl.checkWiped(ctx, p); err != nil {
		return resp, requestError(err)
	}
	o, err := rl.openAsk(ctx, &p.Kubbi)
	if err != nil {
		return resp, damagedRequest(p.ID, err)
	}
	t, err := openAnswer(o, idempotencyKey, p.Answer)
	if err != nil {
		return resp, damagedRequest(p.ID, err)
	}
	reply, err := openReply(o, t)
	if err != nil {
		return resp, damagedRequest(p.ID, err)
	}
	return rl.askResponse(&p.Kubbi, o.Ask, t, reply), nil
}

func (rl *Relay) askResponse(k *store.Kubbi, a *ask, t, reply token) api.AskResponse {
	return api.AskResponse{
		ID: k.ID, Status: api.RequestStatuses[k.Status], RequestURL: rl.origin + api.PathAnswer + t.text,
		AnswerID: a.AnswerID, ClaimURL: rl.claimURL(reply.text),
		CreatedAt: api.NewTime(k.CreatedAt), ExpiresAt: api.NewTime(k.ExpiresAt),
	}
}

// readAsk reads and validates the body of a request, into memory that held reserves.
func readAsk(r *http.Request, limits limits, request hash.Hash, held *reservation) (*draft, error) {
	return readBody(r, maxAskBody, "", request, func(body *bodyReader) (*draft, error) {
		b, err := readWhole(body, maxAskBody, held)
		if err != nil {
			return nil, err
		}
		return validateAsk(b, limits)
	})
}

// validateAsk reads the body of a request. A member that it does not know is refused: if
// "secret" were misspelled, a model might see the value.
func validateAsk(body []byte, limits limits) (*draft, error) {
	v := &validator{body: body, limits: limits}
	a := &ask{}
	v.draft = draft{contentType: api.TypeText, maxRetrievals: 1, ask: a}
	d := &decoder{body: body, dec: jsontext.NewDecoder(bytes.NewBuffer(body))}
	if err := d.begin(); err != nil {
		return nil, err
	}
	var message, fields, files, ttl, notify span
	d.object(map[string]*span{"message": &message, "fields": &fields, "files": &files, "ttl_seconds": &ttl, "x_notify": &notify},
		func(string) {
			v.addUnknown("the request body", "message, fields, files, ttl_seconds and x_notify")
			d.skip()
		})
	if err := d.end(); err != nil {
		return nil, err
	}
	var ok bool
	if a.Message, ok = v.text("message", message, true); ok {
		v.message(a.Message)
	}
	v.fields(a, fields)
	if !v.null(files) {
		switch files.in(body).Kind() {
		case 't':
			a.Files = true
		case 'f':
		default:
			v.add("files must be true or false")
		}
	}
	if (len(a.Fields) > 0) == a.Files && len(v.faults) == 0 {
		v.add("either fields or files: true must be given")
	}
	v.ttl(ttl)
	v.notify(notify)
	if err := v.err(); err != nil {
		return nil, err
	}
	return &v.draft, nil
}

// addUnknown adds a fault about an unknown member, once. It does not quote the name, which
// may be a secret.
func (v *validator) addUnknown(of, known string) {
	fault := of + " must have no members but " + known
	if len(v.faults) == 0 || v.faults[len(v.faults)-1] != fault {
		v.add(fault)
	}
}

func (v *validator) message(text string) {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	switch n := utf8.RuneCountInString(text); {
	case strings.TrimSpace(text) == "":
		v.add("message must say what is wanted")
	case n > api.MaxRequestMessage:
		v.addf("message must be at most %d characters, and is %d", api.MaxRequestMessage, n)
	case strings.ContainsFunc(text, control):
		v.add("message must not have control characters other than line feeds and tabs")
	}
}

func (v *validator) fields(a *ask, s span) {
	if v.null(s) {
		return
	}
	var fields []jsontext.Value
	if json.Unmarshal(s.in(v.body), &fields) != nil || len(fields) < 1 || len(fields) > api.MaxRequestFields {
		v.addf("fields must be an array of 1 to %d fields", api.MaxRequestFields)
		return
	}
	seen := map[string]int{}
	for i, value := range fields {
		at := fmt.Sprintf("fields[%d]", i)
		var f api.Field
		switch err := json.Unmarshal(value, &f, json.RejectUnknownMembers(true)); {
		case errors.Is(err, json.ErrUnknownName):
			v.addUnknown(at, "name, secret and lines")
			continue
		case err != nil || value.Kind() != '{':
			v.add(at + " must be an object with a name, and optionally secret and lines, which are true or false")
			continue
		case !f.NameOK():
			v.addf("%s.name must be 1 to %d of the characters A-Z, a-z, 0-9 and _, and not begin with a digit", at, api.MaxFieldName)
		}
		// The environment of a process on Windows ignores case.
		name := strings.ToUpper(f.Name)
		if first, twice := seen[name]; twice {
			v.addf("%s.name must be unique, ignoring case; fields[%d] has it", at, first)
		} else {
			seen[name] = i
		}
		a.Fields = append(a.Fields, f)
	}
}
