package tools

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
)

// TestSendTo sends to public keys. Their owners claim it with the claim_url alone; the tools of
// others say for whom it is, and spend nothing.
func TestSendTo(t *testing.T) {
	relay := relaytest.New(t)
	withKey := func() (*caller, kubbi.Recipient) {
		identity := kubbi.GenerateIdentity()
		return newCaller(t, relay.APIKey, relay.URL, kubbi.WithIdentities(func() []*kubbi.Identity { return []*kubbi.Identity{identity} })), identity.Recipient()
	}
	anna, annaKey := withKey()
	ben, benKey := withKey()
	eve, eveKey := withKey()
	nobody := newCaller(t, relay.APIKey, relay.URL)
	var sent struct {
		ID        string   `json:"id"`
		ClaimURL  string   `json:"claim_url"`
		SealedFor []string `json:"sealed_for"`
		Metadata  any      `json:"metadata"`
	}
	for name, tt := range map[string]struct{ tool, content string }{
		"content": {"send", `"content":"the-plaintext","metadata":"{\"from\":\"me\"}"`},
		"package": {"send_files", `"files":[{"name":"secret-name.txt","content":"the-plaintext"}]`},
		"binary":  {"send_files", `"files":[{"name":"a.bin","content":"AP//","encoding":"base64"}]`},
	} {
		// An array, one string, and a string with both.
		for _, to := range []string{fmt.Sprintf(`[%q,%q]`, annaKey, benKey), fmt.Sprintf(`"%s, %s"`, annaKey, benKey), fmt.Sprintf(`["%s %s"]`, annaKey, benKey)} {
			res := eve.call(t, tt.tool, "{"+tt.content+`,"max_retrievals":2,"to":`+to+"}")
			text := textOf(t, res)
			if err := json.Unmarshal(res.RawStructuredContent, &sent); err != nil || res.IsError {
				t.Fatalf("%s: %s: %v: %s", name, to, err, text)
			}
			if strings.Contains(sent.ClaimURL, "#") || len(sent.SealedFor) != 2 || sent.SealedFor[0] != annaKey.Fingerprint() || sent.SealedFor[1] != benKey.Fingerprint() {
				t.Errorf("%s: the result is %s", name, text)
			}
			if strings.Contains(text, `"to"`) || name == "content" && !strings.Contains(text, `"from":"me"`) {
				t.Errorf("%s: the result has the encrypted keys, or lacks the metadata: %s", name, text)
			}
			claim := fmt.Sprintf(`{"claim_url":%q}`, sent.ClaimURL)
			for who, c := range map[string]*caller{"eve": eve, "nobody": nobody} {
				if text := textOf(t, c.call(t, "inspect", claim)); !strings.Contains(text, benKey.KeyID()) || !strings.Contains(text, `"yours":false`) || strings.Contains(text, `"to"`) {
					t.Errorf("%s: %s inspects %s", name, who, text)
				}
				res := c.call(t, "claim", claim)
				text := textOf(t, res)
				if !res.IsError || !strings.Contains(text, annaKey.KeyID()) || !strings.Contains(text, "nothing was claimed") || strings.Contains(text, eveKey.KeyID()) != (c == eve) {
					t.Errorf("%s: %s claims %s", name, who, text)
				}
			}
			if text := textOf(t, eve.call(t, "get", fmt.Sprintf(`{"id":%q}`, sent.ID))); !strings.Contains(text, annaKey.KeyID()) || !strings.Contains(text, `"retrieval_count":0`) || strings.Contains(text, "yours") {
				t.Errorf("%s: get gives %s", name, text)
			}
			for who, c := range map[string]*caller{"anna": anna, "ben": ben} {
				if text := textOf(t, c.call(t, "inspect", claim)); !strings.Contains(text, `"yours":true`) {
					t.Errorf("%s: %s inspects %s", name, who, text)
				}
				res := c.call(t, "claim", claim)
				if text := textOf(t, res); name != "binary" && (res.IsError || !strings.Contains(text, "the-plaintext")) || name == "binary" && !strings.Contains(text, "Nothing was claimed") {
					t.Errorf("%s: %s claims %s", name, who, text)
				}
			}
		}
	}
	whole := annaKey.String()
	for to, says := range map[string]string{
		`["` + whole[:50] + `"]`: "to.0: not a whole public key", `["` + whole + `","kbp_x"]`: "to.1: not a whole public key",
		`["kbi_` + whole[4:] + `"]`: "private key", `[" "]`: "to.0: it is empty", `[7]`: "to.0: not a whole public key", `{"a":1}`: "to",
	} {
		res := eve.call(t, "send", `{"content":"x","to":`+to+`}`)
		if text := textOf(t, res); !res.IsError || !strings.Contains(text, says) || !strings.Contains(text, "nothing was done") || strings.Contains(text, whole[4:20]) {
			t.Errorf("to %s: %s", to, text)
		}
	}
	for _, absent := range []string{`[]`, `""`, `null`} {
		if res := eve.call(t, "send", `{"content":"x","to":`+absent+`}`); res.IsError || strings.Contains(textOf(t, res), "sealed") {
			t.Errorf("to %s: %s", absent, textOf(t, res))
		}
	}
}
