package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/kubbi/api"
)

// demoCmd is `kubbi-mcp demo`.
type demoCmd struct {
	Secrets bool `help:"Watch an agent ask a person for a secret and use it unseen."`
}

// demoTime ends a demo that hangs.
const demoTime = time.Minute

// Run shows a handoff between two servers that share a relay, or an agent that asks for a
// secret. It fails if a check does not hold.
func (c *demoCmd) Run(a *app) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("demo: %w", err)
		}
	}()
	ctx, cancel := context.WithTimeout(a.ctx, demoTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "kubbi-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.RemoveAll(dir)) }()

	s := &demoPrinter{app: a, started: time.Now()}
	relayURL, err := freeOrigin()
	if err != nil {
		return err
	}
	if c.Secrets {
		return demoSecrets(ctx, s, dir, relayURL)
	}
	return demoHandoff(ctx, s, dir, relayURL)
}

// demoHandoff lets two agents hand over a text and a package.
func demoHandoff(ctx context.Context, s *demoPrinter, dir, relayURL string) (err error) {
	s.title("Two agents, two MCP servers over stdio, one claim URL between them.",
		"No account, no key, no network: the relay runs inside the servers.")
	d := &demo{demoPrinter: s}
	if d.a, err = startAgent(ctx, "A", dir, relayURL); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.a.close()) }()
	if d.b, err = startAgent(ctx, "B", dir, relayURL); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.b.close()) }()
	return s.run(ctx, d.meet, d.handText, d.handPackage)
}

// freeOrigin is a loopback origin that nobody serves, so that the demo does not use a
// running server of the user.
func freeOrigin() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return "http://" + l.Addr().String(), nil
}

// demo is the two agents and their steps.
type demo struct {
	*demoPrinter
	a, b *agent
}

func (d *demo) meet(ctx context.Context) error {
	for _, ag := range []*agent{d.a, d.b} {
		names, err := ag.tools(ctx)
		if err != nil {
			return err
		}
		d.step(ag.name, "starts its server, which offers %s", strings.Join(names, ", "))
		if len(names) != 8 {
			return fmt.Errorf("agent %s sees %d tools, not 8", ag.name, len(names))
		}
	}
	return nil
}

// The parts of the tools' answers that the demo uses.
type (
	sentResult struct {
		ClaimURL string `json:"claim_url"`
	}
	inspectResult struct {
		Status         api.Status `json:"status"`
		ContentType    string     `json:"content_type"`
		FileCount      int        `json:"file_count"`
		TotalSizeBytes int64      `json:"total_size_bytes"`
		RetrievalCount int        `json:"retrieval_count"`
	}
	claimResult struct {
		Claimed bool          `json:"claimed"`
		Burned  bool          `json:"burned"`
		Files   []claimedFile `json:"files"`
	}
	claimedFile struct {
		Name string `json:"name"`
		Path string `json:"path"` // where it was saved
	}
)

const demoText = "The staging password is correct-horse-battery-staple."

func (d *demo) handText(ctx context.Context) error {
	var sent sentResult
	if err := d.a.call(ctx, "send", map[string]any{
		"content": demoText, "ttl_seconds": 600, "max_retrievals": 1,
	}, &sent); err != nil {
		return err
	}
	d.step("A", "sends a text that can be read once, and gets a claim URL to pass on:")
	d.show(sent.ClaimURL)

	var seen inspectResult
	if err := d.b.call(ctx, "inspect", map[string]any{"claim_url": sent.ClaimURL}, &seen); err != nil {
		return err
	}
	d.step("B", "inspects it first: %s, %s, claimed %s so far", seen.ContentType, seen.Status, count(seen.RetrievalCount, "time"))
	d.check(seen.ContentType == api.TypeText && seen.Status == api.StatusActive && seen.RetrievalCount == 0,
		"inspecting spends nothing")

	got, text, err := d.b.claim(ctx, map[string]any{"claim_url": sent.ClaimURL})
	if err != nil {
		return err
	}
	d.step("B", "claims it:")
	d.show(text)
	d.check(text == demoText && got.Burned, "the text is the one that A sent, and it burned: the relay wiped it")
	return d.claimAgain(ctx, sent.ClaimURL)
}

// claimAgain shows that a second claim gets nothing.
func (d *demo) claimAgain(ctx context.Context, claimURL string) error {
	_, _, err := d.a.claim(ctx, map[string]any{"claim_url": claimURL})
	r, refused := errors.AsType[refusal](err)
	if err != nil && !refused {
		return err
	}
	d.step("A", "claims it as well, and is refused:")
	d.show(r.text)
	d.check(refused, "a second claim gets nothing")
	return nil
}

// demoFile is one file of the package.
type demoFile struct {
	name, contentType, role string
	data                    []byte
}

// demoChart is a picture of the timings as three bars: PNG in base64.
const demoChart = "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAYAQMAAABwemkHAAAABlBMVEX///8vb97l3VoYAAAAIklEQVR4nGKAgwNkMTDB//8fyGBgMwcMPpDGgAFAAAAA//+AJkWLvrKIjwAAAABJRU5ErkJggg=="

func (d *demo) handPackage(ctx context.Context) error {
	chart, err := base64.StdEncoding.DecodeString(demoChart)
	if err != nil {
		return err
	}
	files := []demoFile{
		{"instructions.md", "text/markdown", "instructions", []byte("# Review\n\nCheck the three slowest steps, then answer with a verdict.\n")},
		{"timings.csv", "text/csv", "data", []byte("step,ms\nclone,812\nbuild,20417\ntest,61290\n")},
		{"chart.png", "image/png", "attachment", chart},
	}
	var arguments []map[string]any
	var lines []string
	var total int64
	for _, f := range files {
		arguments = append(arguments, map[string]any{
			"name": f.name, "content_type": f.contentType, "role": f.role,
			"content": base64.StdEncoding.EncodeToString(f.data), "encoding": api.EncodingBase64,
		})
		lines = append(lines, fmt.Sprintf("%-16s %-14s %s", f.name, f.contentType, size(int64(len(f.data)))))
		total += int64(len(f.data))
	}
	var sent sentResult
	if err := d.a.call(ctx, "send_files", map[string]any{
		"files": arguments, "ttl_seconds": 600, "max_retrievals": 1,
	}, &sent); err != nil {
		return err
	}
	d.step("A", "sends a package of three files, one of them a picture:")
	d.show(lines...)
	d.show(sent.ClaimURL)

	var seen inspectResult
	if err := d.b.call(ctx, "inspect", map[string]any{"claim_url": sent.ClaimURL}, &seen); err != nil {
		return err
	}
	d.step("B", "inspects it: %s, %s", count(seen.FileCount, "file"), size(seen.TotalSizeBytes))
	d.check(seen.FileCount == len(files) && seen.TotalSizeBytes == total, "names, types and sizes are known before anything is spent")

	got, _, err := d.b.claim(ctx, map[string]any{"claim_url": sent.ClaimURL})
	if err != nil {
		return err
	}
	if got.Claimed {
		return errors.New("a picture was claimed into an answer")
	}
	d.step("B", "claims it, and is told to save it: not every host passes a picture on, so nothing was spent")
	got, _, err = d.b.claim(ctx, map[string]any{"claim_url": sent.ClaimURL, "save_to": "received"})
	if err != nil {
		return err
	}
	d.step("B", "saves it and compares every byte:")
	same := len(got.Files) == len(files)
	for i, f := range got.Files {
		data, err := os.ReadFile(f.Path)
		if err != nil {
			return err
		}
		verdict := "the same"
		if i >= len(files) || f.Name != files[i].name || !bytes.Equal(data, files[i].data) {
			same, verdict = false, "not what was sent"
		}
		d.show(fmt.Sprintf("%-16s %s", f.Name, verdict))
	}
	d.check(same && got.Burned, "all three arrived whole, and the relay wiped them")
	return d.claimAgain(ctx, sent.ClaimURL)
}
