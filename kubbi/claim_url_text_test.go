package kubbi

import (
	"errors"
	"strings"
	"testing"
)

const (
	testURL   = "https://api.kubbi.ai/r/" + testToken
	keyPart   = "k=QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"
	otherURL  = "https://api.kubbi.ai/r/b3RoZXItdG9rZW4tZm9yLXRlc3RzLW9ubHktMTIzNDU2"
	localURL  = "http://127.0.0.1:7117/r/" + testToken
	plainHost = "api.kubbi.ai/r/" + testToken
)

// TestFindClaimURL finds claim URLs as mail, chat, people and models pass them on.
func TestFindClaimURL(t *testing.T) {
	for in, want := range map[string]string{
		// Punctuation and brackets of a text.
		testURL + ".": testURL, testURL + ",": testURL, testURL + ")": testURL, testURL + "!": testURL, testURL + "?": testURL,
		testURL + ";": testURL, testURL + ":": testURL, testURL + "'": testURL, testURL + "]": testURL, testURL + "}.": testURL,
		testURL + "),": testURL, testURL + "/.": testURL, testURL + "/claim.": testURL,
		"Claim it: " + testURL + ".": testURL, "(" + testURL + ")": testURL, "[" + testURL + "]": testURL, "{" + testURL + "}": testURL,
		"'" + testURL + "'.": testURL, "\"" + testURL + "\",": testURL, "<" + testURL + ">.": testURL, "URL:" + testURL: testURL, "claim_url=" + testURL: testURL,
		"I left the report for you at " + testURL + ", it is good for an hour. Thanks!": testURL,
		"see https://example.com/docs, then claim " + testURL:                           testURL,
		"mail me (a@b.example), the link: " + testURL + "\n\nRegards\n-- \nA":           testURL,
		"curl -X POST " + testURL + "/claim":                                            testURL,
		"“" + testURL + "”":                                                             testURL, "«" + testURL + "»": testURL, "「" + testURL + "」": testURL, "（" + testURL + "）。": testURL,
		"请领取" + testURL + "谢谢": testURL, "\ufeff" + testURL + "\u200b": testURL, testURL + "\u00a0please": testURL, "1." + testURL: testURL,
		// Markdown, chat, HTML.
		"[claim](" + testURL + ")": testURL, "[the report](" + testURL + " \"title\").": testURL, "[" + testURL + "](" + testURL + ")": testURL,
		"**" + testURL + "**": testURL, "_" + testURL + "_": testURL, "~~" + testURL + "~~": testURL, "`" + testURL + "`": testURL,
		"<" + testURL + "|claim>": testURL, "<" + testURL + "|" + testURL + ">": testURL, "<" + testURL + "|" + testURL[:40] + "…>": testURL,
		testURL[:40] + "... (" + testURL + ")":                     testURL,
		`<a href="` + testURL + `">` + testURL + `</a>`:            testURL,
		"[1]: " + testURL:                                          testURL,
		"> " + testURL + "\n> thanks":                              testURL,
		strings.ReplaceAll(otherURL, "-", "-"):                     otherURL,
		"https://api.kubbi.ai/r/abc\\_def\\_ghi\\_jkl\\_mno":       "https://api.kubbi.ai/r/abc_def_ghi_jkl_mno",
		testURL + "#" + strings.ReplaceAll(keyPart, "=", "%3D"):    testURL + "#" + keyPart,
		"[" + plainHost + "](" + testURL + ")":                     testURL,
		"[" + testURL + "](" + testURL + "#" + keyPart + ")":       testURL + "#" + keyPart,
		"{\"id\":\"x\",\"claim_url\":\"" + testURL + "\",\"n\":1}": testURL,
		// Tracking, and what becomes of "#".
		testURL + "?utm_source=mail": testURL, testURL + "?utm_source=mail&utm_medium=x#" + keyPart: testURL + "#" + keyPart, testURL + "/?fbclid=x": testURL,
		testURL + "%23" + keyPart: testURL + "#" + keyPart, testURL + "#" + keyPart + ".": testURL + "#" + keyPart, testURL + "#" + keyPart + ")": testURL + "#" + keyPart,
		testURL + "#" + keyPart + "&utm_source=mail": testURL + "#" + keyPart, testURL + "#" + keyPart + "?fbclid=x": testURL + "#" + keyPart,
		testURL + "?utm_source=x%23" + keyPart: testURL + "#" + keyPart, "https%3A%2F%2Fapi.kubbi.ai%2Fr%2F" + testToken: testURL,
		"https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Fapi.kubbi.ai%2Fr%2F" + testToken + "%23k%3DQUFB&data=05%7C01&reserved=0": testURL + "#k=QUFB",
		// No scheme.
		plainHost: testURL, plainHost + ".": testURL, "(" + plainHost + ")": testURL, "claim " + plainHost + ", please": testURL,
		"127.0.0.1:7117/r/" + testToken: localURL, "localhost:7117/r/" + testToken: "http://localhost:7117/r/" + testToken, "[::1]:7117/r/" + testToken: "http://[::1]:7117/r/" + testToken,
		"http://localhost:7117/r/" + testToken + " (" + localURL + ")": localURL,
		plainHost + "#" + keyPart:                                      testURL + "#" + keyPart, "API.Kubbi.AI/r/" + testToken: testURL,
		// As agents pass it on.
		`{"type":"kubbi_claim_url","url":"` + testURL + `"}`: testURL, `{"input_type":"kubbi","claim_url":"` + testURL + `#` + keyPart + `"}`: testURL + "#" + keyPart,
		` {"url": "` + testToken + `", "type": "kubbi_claim_url"} `: testToken, `{"input_type":"kubbi","claim_url":"https:\/\/api.kubbi.ai\/r\/` + testToken + `"}`: testURL,
		`[{"kind":"data","data":{"type":"kubbi_claim_url","url":"` + testURL + `"}}]`: testURL,
	} {
		u, err := ParseClaimURL(in)
		got := u.URL()
		if u.Fragment() != "" {
			got += "#" + u.Fragment()
		}
		if err != nil || got != want {
			t.Errorf("%q\n gives %q, %v\n want  %q", in, got, err, want)
		}
	}
}

// TestFindClaimURLRefuses: texts with two readings or none are refused.
func TestFindClaimURLRefuses(t *testing.T) {
	for in, says := range map[string]string{
		testURL + " and " + otherURL: "two", "[" + testURL + "](" + otherURL + ")": "two", "<" + testURL + "|" + otherURL + ">": "two",
		testURL + "#k=QUFB " + testURL + "#k=QkJC":                                          "two",
		"https://api.kubbi.ai/r/" + testToken + " " + "https://evil.example/r/" + testToken: "two",
		"http://api.kubbi.ai/r/" + testToken + " " + testURL:                                "two",
		testURL + "," + otherURL:                                                            "another",
		testURL + "?next=" + otherURL:                                                       "another",
		testURL + "?next=https%3A%2F%2Fevil.example%2Fr%2F" + testToken:                     "another",
		// A URL of another site that holds ours.
		"https://evil.example/?u=" + testURL: "another site", "https://evil.example/?u=https%3A%2F%2Fapi.kubbi.ai%2Fr%2F" + testToken: "another site",
		"https://evil.example/" + testURL: "another site", "https://evil.example/#" + testURL: "another site", "evil.example/" + testURL: "inside another", "evil.example?u=" + testURL: "inside another",
		"https://evil.example@" + testURL[8:]: "user name", "https://evil.example\\@" + testURL[8:]: "backslash", "evil.example@" + testURL[8:]: "user name",
		"https://evilsafelinks.protection.outlook.com.example/?url=https%3A%2F%2Fapi.kubbi.ai%2Fr%2F" + testToken:                                                                  "another site",
		"https://x.safelinks.protection.outlook.com/?url=" + "https%3A%2F%2Fy.safelinks.protection.outlook.com%2F%3Furl%3Dhttps%253A%252F%252Fapi.kubbi.ai%252Fr%252F" + testToken: "another",
		"https://api.kubbi\u200b.ai/r/" + testToken: "ASCII", "api.kubbi。ai/r/" + testToken: "ASCII", "see https://аpi.kubbi.ai/r/" + testToken: "ASCII",
		testURL[:50] + "\n" + testURL[50:]: "broken in two", testURL[:50] + " " + testURL[50:]: "broken in two",
		"https://\"" + testURL[8:]: "broken in two", "http:// " + testURL[8:]: "broken in two",
		"please claim the report": "no claim URL", "https://example.com/docs": "path", "see https://example.com/docs for more": "path",
		"claim 00000000-0000-4000-8000-000000000000": "no claim URL", "ftp://api.kubbi.ai/r/" + testToken + " " + testURL: "scheme",
		"00000000-0000-4000-8000-000000000000": "a kubbi's id", "<kubbi://00000000-0000-4000-8000-000000000000>": "a kubbi's id",
		`{"type":"kubbi_claim_url","url":""}`: "no claim URL", `{"type":"kubbi_claim_url"}`: "no claim URL", testToken + " " + testToken: "no claim URL",
	} {
		u, err := ParseClaimURL(in)
		if err == nil || !errors.Is(err, ErrValidation) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q\n gives %q, %v\n want an error that says %q", in, u.URL(), err, says)
		}
		if err != nil {
			wantNone(t, "error", err.Error(), testToken[:15], "evil")
		}
	}
}
