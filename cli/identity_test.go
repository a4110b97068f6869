package cli

import (
	"strings"
	"testing"

	"kubbi-mcp/kubbi"
)

// TestIdentity claims what is sealed for this machine, and only here.
func TestIdentity(t *testing.T) {
	here, elsewhere := newAsker(t), newAsker(t)
	text, code := here.run("identity")
	to, err := kubbi.ParseRecipient(strings.TrimSpace(text))
	if code != 0 || err != nil {
		t.Fatal(text, err)
	}
	sent, err := here.client.Send(t.Context(), kubbi.SendParams{Content: "for this machine", To: []kubbi.Recipient{to}, MaxRetrievals: 1})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.env["KUBBI_BASE_URL"] = here.env["KUBBI_BASE_URL"]
	for range 2 { // without a key pair, and with another
		if out, code := elsewhere.run("claim", sent.ClaimURL); code != exitSealed {
			t.Errorf("%d, %s", code, out)
		}
		if out, code := elsewhere.run("identity"); code != 0 || out == text {
			t.Errorf("%d, %s", code, out)
		}
	}
	if out, code := here.run("run", "--env", "P="+sent.ClaimURL, "--", "sh", "-c", `test "$P" = "for this machine" && echo "it is $P"`); code != 0 || !strings.Contains(out, "it is [P]") {
		t.Errorf("%d, %s", code, out)
	}
}
