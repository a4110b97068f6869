package kubbi

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"kubbi-mcp/kubbi/api"
)

// sourceWith is a source of these bytes.
func sourceWith(text string) Source {
	return Source{Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// TestRawBody writes a body and reads it again, one byte at a time.
func TestRawBody(t *testing.T) {
	texts := []string{"héllo\n", "\x00\xff\x01", "", strings.Repeat("wörld 🎉", 20000)}
	var sources []*outgoing
	head := api.RawClaim{Type: api.TypePackage, Files: []api.RawFile{}}
	for i, text := range texts {
		s := sourceWith(text)
		s.Name, s.ContentType = string(rune('a'+i)), "a/b"
		if i == 1 {
			s.Encoding, s.Role = api.EncodingBase64, "data"
		}
		source, err := s.file(i + 1)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source)
		head.Files = append(head.Files, source.rawFile())
	}
	body, err := rawBody(head, sources)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(iotest.OneByteReader(body.open()))
	if err != nil || int64(len(b)) != body.size() {
		t.Fatalf("%d bytes, want %d: %v", len(b), body.size(), err)
	}
	if line, rest, _ := bytes.Cut(b, []byte("\n")); !bytes.HasPrefix(line, []byte(`{"type":"kubbi_package","files":[{"name":"a",`)) || string(rest) != strings.Join(texts, "") {
		t.Errorf("the body is %.300q", b)
	}

	p, err := readRaw(iotest.HalfReader(bytes.NewReader(b)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		part := p.Parts[i]
		r, err := part.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Open(); err == nil {
			t.Error("a part is opened twice")
		}
		got, err := io.ReadAll(iotest.DataErrReader(r))
		if err != nil || string(got) != text || part.Size != int64(len(text)) || part.Name != head.Files[i].Name {
			t.Errorf("part %d is %.100q, %v: %+v", i, got, err, part)
		}
	}
	if err := p.end(); err != nil {
		t.Errorf("at the end: %v", err)
	}

	p, err = readRaw(bytes.NewReader(b), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got := p.Claimed
	if err = errors.Join(got.Load(), p.end()); err != nil || *got.FileCount != 4 || got.Files[0].Content != texts[0] || got.Files[1].Content != "AP8B" || got.Files[1].Encoding != api.EncodingBase64 || *got.Files[1].Role != "data" || got.Files[3].Content != texts[3] {
		t.Errorf("in memory it is %.300v, %v", got, err)
	}
}

// TestRawBodyRefused: what is no raw body is refused, and no memory is allocated for bytes
// that are only announced.
func TestRawBodyRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want error
	}{
		"empty":             {"", errCutShort},
		"no line":           {`{"content_bytes":1}`, errCutShort},
		"no JSON":           {"hello\nworld", errNotRaw},
		"a long head":       {strings.Repeat(" ", api.MaxRawHead) + "{}\n", errNotRaw},
		"fewer bytes":       {`{"content_bytes":3,"content_type":"text/plain"}` + "\nab", io.ErrUnexpectedEOF},
		"more bytes":        {`{"content_bytes":3,"content_type":"text/plain"}` + "\nabcd", errNotRaw},
		"a negative size":   {`{"content_bytes":-1}` + "\n", errTooLarge},
		"too large":         {`{"content_bytes":100000}` + "\n", errTooLarge},
		"too many":          {`{"files":[{"size_bytes":9000},{"size_bytes":9000}]}` + "\n", errTooLarge},
		"beyond all":        {`{"files":[{"size_bytes":9223372036854775807},{"size_bytes":9223372036854775807}]}` + "\n", errTooLarge},
		"a fraction":        {`{"content_bytes":1.5}` + "\na", errNotRaw},
		"unknown encoding":  {`{"files":[{"size_bytes":1,"encoding":"hex"}]}` + "\na", errNotRaw},
		"text that is none": {`{"content_bytes":1,"content_type":"text/plain"}` + "\n\xff", errNotRaw},
		"JSON that is none": {`{"content_bytes":3,"content_type":"application/json"}` + "\n1 2", errNotRaw},
	} {
		p, err := readRaw(strings.NewReader(tt.body), 10000)
		if err == nil {
			err = errors.Join(p.Load(), p.end())
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
	if _, err := readRaw(strings.NewReader("{}\n"), 10000); !asError(t, err).Uncertain {
		t.Errorf("nothing in it: %v", err)
	}
	allocated := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			p, err := readRaw(strings.NewReader(`{"content_bytes":1000000000000}`+"\n"), math.MaxInt64)
			if err != nil {
				b.Fatal(err)
			}
			if err = p.Load(); err == nil {
				b.Fatal("no error")
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 2*maxPrealloc {
		t.Errorf("a head alone takes %d bytes", allocated)
	}
}
