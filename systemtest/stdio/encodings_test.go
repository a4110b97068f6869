package stdio

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf16"

	"kubbi-mcp/internal/testkit"
)

// feed gives a server all its input at once. It returns the ids of the answers and the
// whole output.
func feed(t *testing.T, input []byte) (ids []string, out string) {
	t.Helper()
	path := testkit.Program(t)
	cmd := exec.CommandContext(t.Context(), path, "serve", "--data-dir", t.TempDir(), "--relay-url", testkit.FreeURL(t))
	cmd.Env = testkit.Environ()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("serve: %v\n%s", err, stderr.String())
	}
	for line := range strings.Lines(stdout.String()) {
		var m struct{ ID json.RawMessage }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %.300s", err, line)
		}
		ids = append(ids, string(m.ID))
	}
	return ids, stdout.String()
}

const helloLine = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"w","version":"1"}}}`

// TestInputOfWindowsHosts starts the program as hosts on Windows do, with a byte
// order mark before the first message and CRLF after each.
func TestInputOfWindowsHosts(t *testing.T) {
	ids, out := feed(t, []byte("\xef\xbb\xbf"+helloLine+"\r\n\r\n  \r\n"+
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\r\n"+`{"jsonrpc":"2.0","id":2,"method":"ping"}`+"\r\n"))
	if strings.Join(ids, " ") != "1 2" || strings.Contains(out, `"error"`) {
		t.Errorf("answered %v: %s", ids, out)
	}
}

// TestInputInUTF16 expects one error for each message, with its id.
func TestInputInUTF16(t *testing.T) {
	var input []byte
	for _, c := range utf16.Encode([]rune("\ufeff" + helloLine + "\r\n" + `{"jsonrpc":"2.0","id":"b","method":"ping"}` + "\r\n")) {
		input = append(input, byte(c), byte(c>>8))
	}
	ids, out := feed(t, input)
	if strings.Join(ids, " ") != `1 "b"` || strings.Count(out, "MCP messages are UTF-8") != 2 {
		t.Errorf("answered %v: %s", ids, out)
	}
}
