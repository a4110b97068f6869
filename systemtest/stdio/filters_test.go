package stdio

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/tools"
)

// filters are the parts of a tool result that hosts pass on to their models. Each was
// seen in a real host or framework. An error stands for a host that fails.
var filters = map[string]func(rawResult) (string, error){
	"structured content, if it is there": func(r rawResult) (string, error) {
		if r.Structured != nil {
			return string(r.Structured), nil
		}
		return texts(r), nil
	},
	"the first block alone": func(r rawResult) (string, error) { return r.Content[0].Text, nil },
	"text blocks alone":     func(r rawResult) (string, error) { return texts(r), nil },
	"structured content and text": func(r rawResult) (string, error) {
		return string(r.Structured) + "\n" + texts(r), nil
	},
	"strict about block types": func(r rawResult) (string, error) {
		for _, b := range r.Content {
			if b.Type != "text" && b.Type != "image" {
				return "", fmt.Errorf("unsupported block %s", b.Type)
			}
		}
		return texts(r), nil
	},
	"cut at 50,000 characters": func(r rawResult) (string, error) {
		// Some hosts cut the text, some the JSON around it. Both must fit.
		if utf8.RuneCount(r.json) > 50_000 {
			return "", nil
		}
		return texts(r), nil
	},
	"JSON of 200 levels at most": func(r rawResult) (string, error) {
		if depth(r.json) > 200 {
			return "", errors.New("nested too deep")
		}
		return texts(r), nil
	},
	"numbers as doubles": func(r rawResult) (string, error) {
		var v any
		if err := json.Unmarshal(r.json, &v); err != nil { // 1e400 is no double
			return "", err
		}
		b, err := json.Marshal(v)
		if err != nil {
			return "", err
		}
		var again rawResult
		err = json.Unmarshal(b, &again)
		return texts(again), err
	},
}

func texts(r rawResult) string {
	var all []string
	for _, b := range r.Content {
		if b.Type == "text" {
			all = append(all, b.Text)
		}
	}
	return strings.Join(all, "\n")
}

func depth(v []byte) int {
	dec, now, most := json.NewDecoder(bytes.NewReader(v)), 0, 0
	for {
		tok, err := dec.Token()
		if err != nil {
			return most
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			now++
			most = max(most, now)
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	}
}

// filterPayload is a payload: what is sent, and the texts or files that must arrive.
type filterPayload struct {
	tool, arguments string
	inline          []string          // what a model must see, whole
	files           map[string][]byte // what a folder must hold, if it is saved
}

func filterPayloads() map[string]filterPayload {
	const exactJSON = `{"above 2^53": 9007199254740993, "minus zero": -0, "no double": 1e400, "deep": `
	deep := strings.Repeat("[", 500) + strings.Repeat("]", 500)
	value := exactJSON + deep + "}"
	quotes := strings.Repeat(`"`, 40_000)
	pdf := append([]byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), bytes.Repeat([]byte{0, 1, 2, 0xff}, 100)...)
	png, _ := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
	file := func(name string, content []byte) string {
		if utf8.Valid(content) {
			return fmt.Sprintf(`{"name":%q,"content":%s}`, name, jsonString(string(content)))
		}
		return fmt.Sprintf(`{"name":%q,"content":%q,"encoding":"base64"}`, name, base64.StdEncoding.EncodeToString(content))
	}
	once := func(member string) string { return `{` + member + `,"max_retrievals":1}` }
	return map[string]filterPayload{
		"text":          {"send", once(`"content":` + jsonString(testkit.AwkwardText)), []string{testkit.AwkwardText}, map[string][]byte{"content.txt": []byte(testkit.AwkwardText)}},
		"JSON":          {"send", once(`"content":` + value), []string{value}, map[string][]byte{"content.json": []byte(value)}},
		"40,000 quotes": {"send", once(`"content":` + jsonString(quotes)), []string{quotes}, map[string][]byte{"content.txt": []byte(quotes)}},
		"20,000 quotes": {"send", once(`"content":` + jsonString(quotes[:20_000])), []string{quotes[:20_000]}, map[string][]byte{"content.txt": []byte(quotes[:20_000])}},
		"PNG":           {"send_files", once(`"files":[` + file("dot.png", png) + `]`), nil, map[string][]byte{"dot.png": png}},
		"PDF":           {"send_files", once(`"files":[` + file("report.pdf", pdf) + `]`), nil, map[string][]byte{"report.pdf": pdf}},
		"package of texts": {"send_files", once(`"files":[` + file("a.txt", []byte(testkit.AwkwardText)) + "," + file("b.json", []byte(value)) + `]`),
			[]string{testkit.AwkwardText, value}, map[string][]byte{"a.txt": []byte(testkit.AwkwardText), "b.json": []byte(value)}},
		"package of all": {"send_files", once(`"files":[` + file("a.txt", []byte(testkit.AwkwardText)) + "," + file("b.json", []byte(value)) + "," + file("dot.png", png) + "," + file("report.pdf", pdf) + `]`),
			nil, map[string][]byte{"a.txt": []byte(testkit.AwkwardText), "b.json": []byte(value), "dot.png": png, "report.pdf": pdf}},
		"sealed package with an image": {"send_files", once(`"sealed":true,"files":[` + file("dot.png", png) + `]`), nil, map[string][]byte{"dot.png": png}},
		"sealed text":                  {"send_files", once(`"sealed":true,"files":[` + file("a.txt", []byte(testkit.AwkwardText)) + `]`), []string{testkit.AwkwardText}, map[string][]byte{"a.txt": []byte(testkit.AwkwardText)}},
	}
}

// TestNothingBurnsUnseen claims each kind of payload, which can be claimed once, in
// each kind of host. The model sees the whole payload, or its text names a file with
// the whole payload, or no retrieval is spent and save_to gets the payload.
func TestNothingBurnsUnseen(t *testing.T) {
	data, relay := t.TempDir(), testkit.FreeURL(t)
	sender, claimer := startIn(t, data, relay), startIn(t, data, relay)
	for host, filter := range filters {
		for kind, p := range filterPayloads() {
			t.Run(host+"/"+kind, func(t *testing.T) {
				url := sender.sent(t, p.tool, p.arguments)
				res := claimer.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q}`, url))
				seen, err := filter(res)
				if err != nil || res.IsError || res.Structured != nil {
					t.Fatalf("the host fails: %v: %.500s", err, res.json)
				}
				if p.shownIn(seen) {
					if host == "structured content and text" && strings.Count(seen, p.inline[0]) != 1 {
						t.Error("the payload is there twice")
					}
					return
				}
				if saved := savedFiles(t, seen); len(saved) > 0 {
					p.check(t, saved)
					return
				}
				inspected := sender.callRaw(t, "inspect", fmt.Sprintf(`{"claim_url":%q}`, url))
				if inspected.IsError || !strings.Contains(string(inspected.Structured), `"remaining_reads":1,`) {
					t.Fatalf("burned, and not seen: %.300s, inspect: %.300s", seen, inspected.json)
				}
				if !strings.Contains(seen, "save_to") || !strings.Contains(seen, `"received"`) {
					t.Fatalf("the model is not told what to do: %.500s", seen)
				}
				res = claimer.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":"received"}`, url))
				if seen, err = filter(res); err != nil || res.IsError {
					t.Fatalf("saving: %v: %.500s", err, res.json)
				}
				p.check(t, savedFiles(t, seen))
			})
		}
	}
}

// TestImagesInline claims a picture into the answer, for a host that shows images.
func TestImagesInline(t *testing.T) {
	data, relay := t.TempDir(), testkit.FreeURL(t)
	s := startIn(t, data, relay)
	p := filterPayloads()["PNG"]
	url := s.sent(t, p.tool, p.arguments)
	res := s.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q,"images":"inline"}`, url))
	want := base64.StdEncoding.EncodeToString(p.files["dot.png"])
	if res.IsError || len(res.Content) != 2 || res.Content[1].Type != "image" || res.Content[1].Data != want || res.Content[1].MIMEType != "image/png" {
		t.Errorf("claimed %.500s", res.json)
	}
	// Bytes that are no image of their type would break a conversation.
	fake := s.sent(t, "send_files", `{"files":[{"name":"fake.png","content":"AAECAw==","encoding":"base64"}],"max_retrievals":1}`)
	res = s.callRaw(t, "claim", fmt.Sprintf(`{"claim_url":%q,"images":"inline"}`, fake))
	saved := savedFiles(t, texts(res))
	if b, err := os.ReadFile(saved["fake.png"]); res.IsError || len(res.Content) != 1 || err != nil || !bytes.Equal(b, []byte{0, 1, 2, 3}) {
		t.Errorf("claimed %.500s: %q, %v", res.json, b, err)
	}
}

func (p filterPayload) shownIn(seen string) bool {
	for _, want := range p.inline {
		if !strings.Contains(seen, want) {
			return false
		}
	}
	return len(p.inline) > 0
}

// savedFiles gives the paths of the saved files in a claim's text.
func savedFiles(t *testing.T, text string) map[string]string {
	t.Helper()
	manifest, _, _ := tools.ReadClaim(text)
	var out struct{ Files []struct{ Name, Path string } }
	if err := json.Unmarshal(manifest, &out); err != nil {
		t.Fatalf("no manifest in %.500s", text)
	}
	paths := map[string]string{}
	for _, f := range out.Files {
		if f.Path != "" {
			paths[f.Name] = f.Path
		}
	}
	return paths
}

func (p filterPayload) check(t *testing.T, saved map[string]string) {
	t.Helper()
	if len(saved) != len(p.files) {
		t.Errorf("saved %v", saved)
	}
	for name, want := range p.files {
		if got, err := os.ReadFile(saved[name]); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s holds %.100q, %v", name, got, err)
		}
	}
}

// jsonString is a text as JSON.
func jsonString(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return string(b)
}
