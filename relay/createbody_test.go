package relay

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"kubbi-mcp/kubbi/api"
)

// TestRawBody reads raw bodies with every fault.
func TestRawBody(t *testing.T) {
	limits := limits{Limits: api.DefaultLimits()}
	limits.ContentBytes, limits.PackageBytes, limits.Files = 3*maxShort, 4*maxShort, 3
	long := strings.Repeat("é", maxShort)
	for name, tc := range map[string]struct {
		body, want string // want: the payload, if fault is empty
		fault      string
	}{
		"a text":           {`{"content_type":"text/plain","content_bytes":5,"ttl_seconds":60}` + "\nhéll", "héll", ""},
		"nothing":          {`{"content_type":"text/plain","content_bytes":0,"ttl_seconds":60}` + "\n", "", ""},
		"a long text":      {`{"content_type":"text/plain","content_bytes":131072,"ttl_seconds":60}` + "\n" + long, long, ""},
		"JSON":             {`{"content_type":"application/json","content_bytes":8,"ttl_seconds":60}` + "\n" + `{"a":1} `, `{"a":1} `, ""},
		"files":            {`{"files":[{"name":"a","content_type":"a/b","size_bytes":0},{"name":"b","content_type":"a/b","encoding":"base64","size_bytes":2,"role":"data"},{"name":"c","content_type":"a/b","size_bytes":1}],"ttl_seconds":60}` + "\n\xff\x00c", "\xff\x00c", ""},
		"no head":          {`{"content_type":"text/plain"`, "", "must begin with its head"},
		"a head too long":  {strings.Repeat(" ", 1<<20) + "\n", "", "must begin with its head"},
		"a head not JSON":  {"x\n", "", "not valid JSON"},
		"no size":          {`{"content_type":"text/plain","ttl_seconds":60}` + "\nx", "", "exactly one of content_bytes and files"},
		"both":             {`{"content_type":"text/plain","content_bytes":1,"files":[],"ttl_seconds":60}` + "\nx", "", "exactly one of content_bytes and files"},
		"content in it":    {`{"content_type":"text/plain","content":"x","ttl_seconds":60}` + "\nx", "", "exactly one of content_bytes and files"},
		"no size of file":  {`{"files":[{"name":"a","content_type":"a/b"}],"ttl_seconds":60}` + "\nx", "", "files[0].size_bytes is required"},
		"a size below 0":   {`{"content_type":"text/plain","content_bytes":-1,"ttl_seconds":60}` + "\nx", "", "content_bytes must be between 0 and"},
		"a size not whole": {`{"content_type":"text/plain","content_bytes":1.0,"ttl_seconds":60}` + "\nx", "", "content_bytes must be an integer"},
		"too large":        {`{"content_type":"text/plain","content_bytes":196609,"ttl_seconds":60}` + "\nx", "", "content must be at most 196608 bytes, and is 196609"},
		"sizes too large":  {`{"files":[{"name":"a","content_type":"a/b","size_bytes":9007199254740992},{"name":"b","content_type":"a/b","size_bytes":9007199254740992},{"name":"c","content_type":"a/b","size_bytes":9007199254740992}],"ttl_seconds":60}` + "\nx", "", "files must be at most 262144 bytes together"},
		"short":            {`{"content_type":"text/plain","content_bytes":5,"ttl_seconds":60}` + "\nabcd", "", "ends early: content has 4 bytes of 5"},
		"long":             {`{"content_type":"text/plain","content_bytes":5,"ttl_seconds":60}` + "\nabcdef", "", "longer than its head says"},
		"long and short":   {`{"content_type":"text/plain","content_bytes":131073,"ttl_seconds":60}` + "\n" + long, "", "ends early"},
		"long and longer":  {`{"content_type":"text/plain","content_bytes":131072,"ttl_seconds":60}` + "\n" + long + "x", "", "longer than its head says"},
		"not UTF-8":        {`{"content_type":"text/plain","content_bytes":2,"ttl_seconds":60}` + "\na\xff", "", "content must be valid UTF-8"},
		"half a rune":      {`{"content_type":"text/plain","content_bytes":2,"ttl_seconds":60}` + "\na\xc3", "", "content must be valid UTF-8"},
		"a rune in two":    {`{"files":[{"name":"a","content_type":"a/b","size_bytes":1},{"name":"b","content_type":"a/b","size_bytes":1}],"ttl_seconds":60}` + "\né", "", "files[0] must be valid UTF-8"},
		"not JSON":         {`{"content_type":"application/json","content_bytes":7,"ttl_seconds":60}` + "\n{\"a\":1]", "", "content must be valid JSON, and is not at byte 6"},
		"JSON cut":         {`{"content_type":"application/json","content_bytes":6,"ttl_seconds":60}` + "\n{\"a\":1", "", "content must be valid JSON, and ends early"},
		"no JSON":          {`{"content_type":"application/json","content_bytes":0,"ttl_seconds":60}` + "\n", "", "content must be valid JSON, and ends early"},
		"a bad type":       {`{"content_type":"text/html","content_bytes":1,"ttl_seconds":60}` + "\nx", "", "content_type must be one of"},
	} {
		for how, read := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader, "with its end": iotest.DataErrReader,
		} {
			r := httptest.NewRequest("POST", api.PathKubbis, read(strings.NewReader(tc.body)))
			r.Header.Set("Content-Type", api.TypeRaw+"; v=1")
			rl := &Relay{bodies: newBudget(10 << 20)}
			held := rl.bodies.reserve()
			d, err := rl.readDraft(r, limits, nil, held)
			var got []byte
			if err == nil {
				if (d.stream != nil) != (d.size > maxShort) {
					t.Errorf("%s, %s: streamed is %v", name, how, d.stream != nil)
				}
				got, err = io.ReadAll(d.payload())
			}
			held.free()
			if !rl.bodies.sem.TryAcquire(10 << 20) {
				t.Errorf("%s, %s: memory is not given back", name, how)
			}
			if tc.fault == "" {
				if err != nil || string(got) != tc.want || d.size != int64(len(tc.want)) {
					t.Errorf("%s, %s: %d bytes, %v", name, how, len(got), err)
				}
				continue
			}
			var e *apiError
			if !errors.As(err, &e) || e.code != api.CodeValidation || !strings.Contains(strings.Join(e.messages, "\n"), tc.fault) {
				t.Errorf("%s, %s: %v, want %q", name, how, err, tc.fault)
			}
			if left, _ := io.ReadAll(r.Body); len(left) > 0 {
				t.Errorf("%s, %s: %d bytes are left unread", name, how, len(left))
			}
		}
	}
}

// TestBodyBudget sends a body that does not fit into the rest of the budget, and a short
// one that still does.
func TestBodyBudget(t *testing.T) {
	rl := &Relay{bodies: newBudget(1 << 20)}
	limits := limits{Limits: api.DefaultLimits()}
	read := func(content int, known bool, held *reservation) error {
		body := `{"content":"` + strings.Repeat("x", content) + `","content_type":"text/plain","ttl_seconds":60}`
		r := httptest.NewRequest("POST", api.PathKubbis, strings.NewReader(body))
		if !known {
			r.ContentLength = -1
		}
		_, err := rl.readDraft(r, limits, nil, held)
		return err
	}
	wants := func(err error, code api.Code) {
		t.Helper()
		var e *apiError
		if code == "" && err != nil || code != "" && (!errors.As(err, &e) || e.code != code) {
			t.Errorf("got %v, want %q", err, code)
		}
	}
	first := rl.bodies.reserve()
	wants(read(600<<10, true, first), "")
	for _, known := range []bool{true, false} {
		second := rl.bodies.reserve()
		wants(read(600<<10, known, second), api.CodeUnavailable)
		second.free()
		wants(read(10, known, second), "")
		second.free()
	}
	first.free()
	for _, known := range []bool{true, false} {
		wants(read(600<<10, known, first), "")
		first.free()
		wants(read(2<<20, known, first), api.CodeTooLarge)
		first.free()
	}
	if !rl.bodies.sem.TryAcquire(1 << 20) {
		t.Error("memory is not given back")
	}
}
