package powerloss_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// relay is a relay process, and a client of it.
type relay struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer // read it once the process has ended
	dir    string
	url    string
	key    string // a producer's API key
	http   *http.Client
}

// startRelay starts a relay on a data directory and waits until it is ready.
func startRelay(ctx context.Context, dir, key string, flags ...string) (*relay, error) {
	binary, err := testkit.BuildProgram()
	if err != nil {
		return nil, err
	}
	addr, err := testkit.FreeAddr()
	if err != nil {
		return nil, err
	}
	r := &relay{dir: dir, url: "http://" + addr, key: key, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: testkit.Patience}}
	r.cmd = exec.Command(binary, append([]string{"relay", "--data-dir", dir, "--listen", addr, "--guess-limit", "0",
		"--no-access-log", "--log-format", "json", "--lame-duck", "0"}, flags...)...)
	r.cmd.Env, r.cmd.Stderr = testkit.Environ(), &r.stderr
	r.cmd.Stdout = &r.stderr
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- r.cmd.Wait() }()
	for {
		if status, _, err := r.do(ctx, http.MethodGet, api.PathHealth, "", nil); err == nil && status == http.StatusOK {
			break
		}
		select {
		case err := <-ended:
			return nil, fmt.Errorf("the relay does not start: %w\n%s", err, r.stderr.String())
		case <-ctx.Done():
			_ = r.cmd.Process.Kill() // it ends anyway
			<-ended
			return nil, fmt.Errorf("the relay is not ready: %w\n%s", ctx.Err(), r.stderr.String())
		case <-time.After(3 * time.Millisecond):
		}
	}
	r.cmd.Cancel = func() error { // see kill
		err := r.cmd.Process.Kill()
		<-ended
		return err
	}
	return r, nil
}

// kill ends the process at once, and gives the lines of its log that are
// warnings or worse.
func (r *relay) kill() (complaints []string) {
	_ = r.cmd.Cancel() // an error means that it has ended by itself, which the log shows
	r.http.CloseIdleConnections()
	for line := range strings.Lines(r.stderr.String()) {
		var l struct{ Level string }
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Level == "WARN" || l.Level == "ERROR" {
			complaints = append(complaints, strings.TrimSpace(line))
		}
	}
	return complaints
}

// makeKey makes an API key with the command line.
func makeKey(ctx context.Context, dir string) (string, error) {
	binary, err := testkit.BuildProgram()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, binary, "keys", "create", "--label", "test", "--data-dir", dir)
	cmd.Env = testkit.Environ()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("keys create: %w: %s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// do sends a request and gives the whole answer.
func (r *relay) do(ctx context.Context, method, path, idempotencyKey string, body any) (int, []byte, error) {
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, sent)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(path, "/api/") {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	if idempotencyKey != "" {
		req.Header.Set(api.HeaderIdempotencyKey, idempotencyKey)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
	return resp.StatusCode, b, err
}

// create makes a kubbi of text.
func (r *relay) create(ctx context.Context, content string, ttl int, retrievals *int, key string) (api.CreateResponse, error) {
	var made api.CreateResponse
	quoted, err := json.Marshal(content)
	if err != nil {
		return made, err
	}
	status, b, err := r.do(ctx, http.MethodPost, api.PathKubbis, key, api.CreateRequest{
		Content: quoted, ContentType: "text/plain", TTLSeconds: ttl, MaxRetrievals: retrievals,
		Metadata: []byte(`{"note":"` + noteMarker + `"}`)})
	if err != nil {
		return made, err
	}
	if status != http.StatusCreated {
		return made, fmt.Errorf("create: %d %s", status, b)
	}
	return made, json.Unmarshal(b, &made)
}

// noteMarker is in the metadata of every kubbi.
const noteMarker = "a-note-that-must-not-stand-open-in-any-file"

// answer is what came of a claim.
type answer struct {
	status  int
	content string
	code    api.Code
}

func (r *relay) claim(ctx context.Context, token, key string) (answer, error) {
	status, b, err := r.do(ctx, http.MethodPost, "/r/"+token+"/claim", key, nil)
	if err != nil {
		return answer{}, err
	}
	var v struct {
		Content string   `json:"content"`
		Error   api.Code `json:"error"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return answer{}, fmt.Errorf("claim: %d: %w", status, err)
	}
	return answer{status, v.Content, v.Error}, nil
}

func (r *relay) release(ctx context.Context, token, key string) error {
	status, b, err := r.do(ctx, http.MethodDelete, "/r/"+token+"/claim", key, nil)
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("release: %d %s", status, b)
	}
	return err
}

func (r *relay) remove(ctx context.Context, id string) error {
	status, b, err := r.do(ctx, http.MethodDelete, api.PathKubbis+"/"+id, "", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("delete: %d %s", status, b)
	}
	return err
}

var errLost = errors.New("lost: the relay does not know it")

// detail asks for a kubbi as its producer.
func (r *relay) detail(ctx context.Context, id string) (api.Kubbi, error) {
	var k api.Kubbi
	status, b, err := r.do(ctx, http.MethodGet, api.PathKubbis+"/"+id, "", nil)
	switch {
	case err != nil:
		return k, err
	case status == http.StatusNotFound:
		return k, errLost
	case status != http.StatusOK:
		return k, fmt.Errorf("detail: %d %s", status, b)
	}
	return k, json.Unmarshal(b, &k)
}

// inspect asks for a kubbi as its consumer.
func (r *relay) inspect(ctx context.Context, token string) (int, error) {
	status, _, err := r.do(ctx, http.MethodGet, "/r/"+token+"/inspect", "", nil)
	return status, err
}
