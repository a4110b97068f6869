package hosts

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// exact holds numbers that are no doubles, and one name twice. A parser on the way
// would change it.
const exact = `{"n": 9007199254740993, "zero": -0.0, "big": 1e400, "twice": 1, "twice": 2, "text": "ü"}`

// picture has the start of a PNG, and bytes that are not UTF-8.
var picture = func() []byte {
	sum := sha512.Sum512([]byte("kubbi"))
	return append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat(sum[:], 40)...)
}()

var (
	claimURLs    = regexp.MustCompile(`http://127\.0\.0\.1:\d+/r/[A-Za-z0-9_-]+`)
	requestURLs  = regexp.MustCompile(`http://127\.0\.0\.1:\d+/q/[A-Za-z0-9_-]+#p=[A-Za-z0-9_-]+`)
	requestIDs   = regexp.MustCompile(`request_id\W+([0-9a-f-]{36})`)
	oneRemaining = regexp.MustCompile(`remaining_reads\W+1\b`)
	savedPath    = regexp.MustCompile("/[^\\s\"'`]*/(chart\\.png|content\\.txt)")
	notClaimed   = regexp.MustCompile(`(?i)"?claimed"?\W+false`)
)

var toolNames = []string{"claim", "delete", "get", "inspect", "list", "request", "send", "send_files"}

// caller uses our tools through a framework or a host.
type caller interface {
	// tools lists what a model is offered, sorted.
	tools(t *testing.T) []string
	// call gives what a model gets for a call.
	call(t *testing.T, tool string, arguments map[string]any) shown
}

// shown is what a model gets for a call.
type shown struct {
	Text  string `json:"text"`
	Error *bool  `json:"error"` // nil where errors have no mark
}

// handoffs uses the tools through one framework or host.
type handoffs struct {
	*testing.T
	f       caller
	allowed string
}

// useTools is what every framework and host must be able to do.
func useTools(t *testing.T, f caller, allowed string) {
	h := handoffs{t, f, allowed}
	if got := f.tools(t); !slices.Equal(got, toolNames) {
		t.Errorf("tools: %v, want %v", got, toolNames)
	}
	t.Log("list tools: 8")
	h.claimText()
	h.claimJSON()
	h.claimFiles()
	h.claimFilled()
	h.claimLong()
	h.claimPicture()
	h.askForSecret()
}

// useImages claims a picture that the model asks to see.
func useImages(t *testing.T, f caller, allowed string) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	h := handoffs{t, f, allowed}
	h.write("grey.png", b.Bytes())
	url := h.send("send_files", map[string]any{"files": []map[string]any{{"path": filepath.Join(allowed, "grey.png")}}})
	text := h.good("claim", map[string]any{"claim_url": url, "images": "inline"})
	h.holds("claim with images", text, base64.StdEncoding.EncodeToString(b.Bytes()))
	h.spent(url)
	h.Log("claim with images: the picture, as a picture")
}

func (h handoffs) claimText() {
	h.Helper()
	url := h.send("send", map[string]any{"content": testkit.AwkwardText})
	h.unspent(url)
	text := h.good("claim", map[string]any{"claim_url": url})
	h.holds("claim of a text", text, testkit.AwkwardText)
	h.spent(url)
	how := h.refused("claim", map[string]any{"claim_url": url}, "again: true")
	h.Logf("claim: %d characters whole in %d; a second claim is refused, %s", len(testkit.AwkwardText), len(text), how)
	text = h.good("claim", map[string]any{"claim_url": url, "again": true})
	h.holds("claim with again", text, testkit.AwkwardText)
	h.Log("claim with again: whole once more")
}

func (h handoffs) claimJSON() {
	h.Helper()
	h.write("exact.json", []byte(exact))
	url := h.send("send", map[string]any{"path": filepath.Join(h.allowed, "exact.json")})
	h.holds("claim of JSON", h.good("claim", map[string]any{"claim_url": url}), exact)
	h.Log("claim of JSON: its exact text")
}

func (h handoffs) claimFiles() {
	h.Helper()
	url := h.send("send_files", map[string]any{"files": []map[string]any{
		{"name": "a.txt", "content": testkit.AwkwardText}, {"name": "b.json", "content": exact, "role": "data"},
	}})
	h.holds("claim of files", h.good("claim", map[string]any{"claim_url": url}), testkit.AwkwardText, exact, "a.txt", "b.json")
	h.Log("claim of files: both whole")
}

// claimFilled gives every argument, with an empty value where possible. Models do this
// if they may omit none: under a strict schema, and in smolagents. Some hosts check a
// call against the schema, so that the values must be in its enums.
func (h handoffs) claimFilled() {
	h.Helper()
	sent := h.send("send_files", map[string]any{
		"files":       []map[string]any{{"name": "a.txt", "content": testkit.AwkwardText, "path": "", "content_type": "text/plain", "role": "data"}},
		"ttl_seconds": 3600, "sealed": false, "metadata": "",
	})
	h.unspent(sent)
	url := h.send("send", map[string]any{"content": testkit.AwkwardText, "path": "", "content_type": "text/plain", "ttl_seconds": 3600, "sealed": false, "metadata": ""})
	for _, url := range []string{sent, url} {
		text := h.good("claim", map[string]any{"claim_url": url, "save_to": "", "overwrite": false, "again": false})
		h.holds("claim with every argument", text, testkit.AwkwardText)
	}
	h.Log("with every argument given, even if empty: whole")
}

// claimLong claims texts around the inline limit. Each text arrives whole, or no
// retrieval is spent.
func (h handoffs) claimLong() {
	h.Helper()
	for _, size := range []int{24_000, 30_000, 36_000, 60_000} {
		text := digits(size)
		url := h.send("send", map[string]any{"content": text})
		got := h.good("claim", map[string]any{"claim_url": url})
		if strings.Contains(got, text) {
			h.Logf("claim of %d characters: whole in %d", size, len(got))
			continue
		}
		if !notClaimed.MatchString(got) {
			h.Errorf("claim of %d characters: cut: %s", size, brief(got))
			continue
		}
		h.unspent(url)
		h.Logf("claim of %d characters: not claimed inline, nothing spent", size)
	}
}

// digits is a text of that size without repetitions, in lines.
func digits(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		sum := sha512.Sum512([]byte{byte(i), byte(i >> 8)})
		fmt.Fprintf(&b, "%x\n", sum)
	}
	return b.String()[:size]
}

// claimPicture claims a package that can't be shown as text. It is not claimed inline
// or into a forbidden folder, and then into an allowed one.
func (h handoffs) claimPicture() {
	h.Helper()
	h.write("chart.png", picture)
	chart := map[string]any{"path": filepath.Join(h.allowed, "chart.png")}
	url := h.send("send_files", map[string]any{"files": []map[string]any{chart, {"name": "note.md", "content": testkit.AwkwardText}}})
	text := h.good("claim", map[string]any{"claim_url": url})
	if !notClaimed.MatchString(text) || !strings.Contains(text, "save_to") {
		h.Fatalf("claim of a picture: %s", brief(text))
	}
	h.unspent(url)

	elsewhere := filepath.Join(h.TempDir(), "elsewhere")
	how := h.refused("claim", map[string]any{"claim_url": url, "save_to": elsewhere}, "folder")
	h.unspent(url)
	if _, err := os.Stat(elsewhere); err == nil {
		h.Errorf("%s was made", elsewhere)
	}
	h.Logf("claim of a picture: not claimed inline; into a folder that is not allowed it is refused, %s; nothing spent", how)

	inbox := filepath.Join(h.allowed, "inbox")
	text = h.good("claim", map[string]any{"claim_url": url, "save_to": inbox})
	h.holds("claim to a folder", text, filepath.Join(inbox, "chart.png"), filepath.Join(inbox, "note.md"))
	h.file(filepath.Join(inbox, "chart.png"), picture)
	h.file(filepath.Join(inbox, "note.md"), []byte(testkit.AwkwardText))
	h.spent(url)
	h.Log("claim to a folder: both files, byte for byte, and their paths in the text")

	url = h.send("send_files", map[string]any{"files": []map[string]any{chart}})
	text = h.good("claim", map[string]any{"claim_url": url, "save_to": "received"})
	path := savedPath.FindString(text)
	if path == "" {
		h.Fatalf("claim to the server's own folder: no path in %s", brief(text))
	}
	h.file(path, picture)
	h.Log("claim to the server's own folder: the file, and its path in the text")
}

// askForSecret asks for a secret, which a person enters, waits for it, and gets none of it.
func (h handoffs) askForSecret() {
	h.Helper()
	const value = "canary-4711-from-a-person"
	text := h.good("request", map[string]any{
		"message": "for the tests", "fields": []map[string]any{{"name": "API_TOKEN", "secret": true, "lines": false}}, "files": false, "ttl_seconds": 600, "notify": "",
	})
	url, id := requestURLs.FindString(text), requestIDs.FindStringSubmatch(text)
	if url == "" || id == nil {
		h.Fatalf("request: %s", brief(text))
	}
	var person sync.WaitGroup
	defer person.Wait()
	person.Go(func() { testkit.Answer(h.T, url, value) }) // while the host waits
	text = h.good("get", map[string]any{"id": id[1], "wait_seconds": 30})
	h.holds("get of a request", text, "answered", "API_TOKEN")
	how := h.refused("claim", map[string]any{"claim_url": id[1]}, "kubbi-mcp run --env-from")
	h.Logf("request: asked, answered and waited for; a claim of the secret is refused, %s", how)
}

// good makes a call that must succeed, and returns what a model gets.
func (h handoffs) good(tool string, arguments map[string]any) string {
	h.Helper()
	got := h.f.call(h.T, tool, arguments)
	if got.Error != nil && *got.Error {
		h.Fatalf("%s: %s", tool, brief(got.Text))
	}
	return got.Text
}

// refused makes a call that must fail with these words, and says how the framework
// marks it.
func (h handoffs) refused(tool string, arguments map[string]any, words ...string) string {
	h.Helper()
	got := h.f.call(h.T, tool, arguments)
	if got.Error != nil && !*got.Error {
		h.Fatalf("%s is not refused: %s", tool, brief(got.Text))
	}
	h.holds(tool+" refused", got.Text, words...)
	if got.Error == nil {
		return "by its text alone"
	}
	return "marked as an error"
}

// send makes a kubbi with one retrieval.
func (h handoffs) send(tool string, arguments map[string]any) string {
	h.Helper()
	arguments["max_retrievals"] = 1
	text := h.good(tool, arguments)
	urls := claimURLs.FindAllString(text, -1)
	slices.Sort(urls)
	if urls = slices.Compact(urls); len(urls) != 1 {
		h.Fatalf("%s: %d claim URLs in %s", tool, len(urls), brief(text))
	}
	return urls[0]
}

func (h handoffs) unspent(url string) {
	h.Helper()
	text := h.good("inspect", map[string]any{"claim_url": url})
	if !oneRemaining.MatchString(text) || !strings.Contains(text, "active") {
		h.Fatalf("inspect: %s", brief(text))
	}
}

func (h handoffs) spent(url string) {
	h.Helper()
	got := h.f.call(h.T, "inspect", map[string]any{"claim_url": url})
	if oneRemaining.MatchString(got.Text) || strings.Contains(got.Text, `"active"`) {
		h.Fatalf("inspect after the claim: %s", brief(got.Text))
	}
}

func (h handoffs) holds(what, text string, parts ...string) {
	h.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			h.Fatalf("%s: %s is not in %s", what, brief(part), brief(text))
		}
	}
}

func (h handoffs) write(name string, content []byte) {
	h.Helper()
	if err := os.WriteFile(filepath.Join(h.allowed, name), content, 0o600); err != nil {
		h.Fatal(err)
	}
}

func (h handoffs) file(path string, want []byte) {
	h.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		h.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		h.Errorf("%s: %d bytes, not the %d that were sent", path, len(got), len(want))
	}
}

// brief shortens a text for a message.
func brief(text string) string {
	if len(text) <= 1500 {
		return text
	}
	return text[:1000] + " [...] " + text[len(text)-500:]
}
