package scrub

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

func scrubbed(t testing.TB, secrets []Secret, pieces ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, secrets)
	for _, p := range pieces {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatalf("Write: %d of %d, %v", n, len(p), err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestForms(t *testing.T) {
	const value = "s3cret/<wörd>&\"x\"+ 1%"
	secrets := []Secret{{"DB_PASSWORD", []byte(value)}}
	quoted, _ := json.Marshal(value)
	inner := string(quoted[1 : len(quoted)-1])
	for name, text := range map[string]string{
		"as it is":       value,
		"query":          url.QueryEscape(value),
		"path":           url.PathEscape(value),
		"lower percent":  strings.ToLower(url.QueryEscape("s3cret/<wörd>&\"x\"+ 1%")),
		"hex":            hex.EncodeToString([]byte(value)),
		"upper hex":      strings.ToUpper(hex.EncodeToString([]byte(value))),
		"json":           inner,
		"json by Python": `s3cret/<w\u00f6rd>&\"x\"+ 1%`,
		"json by PHP":    `s3cret\/<w\u00f6rd>&\"x\"+ 1%`,
		"base64":         base64.StdEncoding.EncodeToString([]byte(value)),
		"base64url":      base64.RawURLEncoding.EncodeToString([]byte(value)),
	} {
		t.Run(name, func(t *testing.T) {
			if got := scrubbed(t, secrets, "before "+text+" after"); got != "before [DB_PASSWORD] after" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// In base64 of a longer text, no character is left that tells more than its neighbours.
func TestInsideBase64(t *testing.T) {
	const value = "correct horse battery"
	for before := range 7 {
		for after := range 7 {
			text := strings.Repeat("u", before) + value + strings.Repeat("v", after)
			encoded := base64.StdEncoding.EncodeToString([]byte(text))
			got := scrubbed(t, []Secret{{"P", []byte(value)}}, encoded)
			if !strings.Contains(got, "[P]") {
				t.Fatalf("%d before, %d after: %q", before, after, got)
			}
			left := strings.ReplaceAll(got, "[P]", "")
			if most := (before*8+5)/6 + (after*8+5)/6 + 4; len(left) > most {
				t.Errorf("%d before, %d after: %d characters are left, want %d at most: %q", before, after, len(left), most, got)
			}
		}
	}
}

func TestCutAnywhere(t *testing.T) {
	secrets := []Secret{{"A", []byte("abcabcd")}, {"B", []byte("abcabcdabcabce")}}
	const text = "xabcabcabcdyabcabcdabcabcezabcabcdabcabc"
	const want = "xabc[A]y[B]z[A]abcabc"
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			if got := scrubbed(t, secrets, text[:i], text[i:j], text[j:]); got != want {
				t.Fatalf("cut at %d and %d: %q, want %q", i, j, got, want)
			}
		}
	}
}

func TestLinesOfAKey(t *testing.T) {
	const key = "-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ\nq83vEjRWeJCrze8SNFZ4\n-----END KEY-----\n"
	got := scrubbed(t, []Secret{{"KEY", []byte(key)}}, "  q83vEjRWeJCrze8SNFZ4\r\n", key)
	if got != "  [KEY]\r\n[KEY]" {
		t.Errorf("got %q", got)
	}
	// As the program base64 prints it.
	encoded := base64.StdEncoding.EncodeToString([]byte(key))
	got = scrubbed(t, []Secret{{"KEY", []byte(key)}}, encoded[:76]+"\n"+encoded[76:]+"\n")
	if got != "[KEY]\n[KEY]\n" {
		t.Errorf("in lines: got %q", got)
	}
}

// What can't be the beginning of a secret is written at once, so that a prompt is seen.
func TestNothingIsHeldBackNeedlessly(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, []Secret{{"P", []byte("hunter2")}})
	for _, p := range []string{"Password: ", "hunt", "ing"} {
		if _, err := w.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "Password: hunting" {
		t.Errorf("written before Close: %q", out.String())
	}
}

func TestShortValuesStay(t *testing.T) {
	if got := scrubbed(t, []Secret{{"P", []byte("1")}, {"E", nil}}, "1 + 1 = 2"); got != "1 + 1 = 2" {
		t.Errorf("got %q", got)
	}
}

// naive does the same slowly: at each place it tries every form.
func naive(secrets []Secret, text []byte) []byte {
	var out []byte
	for at := 0; at < len(text); {
		longest, name := 0, ""
		for _, s := range secrets {
			for _, f := range forms(s.Value) {
				if len(f) >= MinLength && len(f) > longest && bytes.HasPrefix(text[at:], f) {
					longest, name = len(f), s.Name
				}
			}
		}
		if longest > 0 {
			out = append(out, "["+name+"]"...)
			at += longest
			continue
		}
		out = append(out, text[at])
		at++
	}
	return out
}

func FuzzWriter(f *testing.F) {
	f.Add([]byte("hunter2"), []byte("hunter"), []byte("xhunterhunter2y"), uint8(3))
	f.Add([]byte("aaaaaaab"), []byte("aaaa"), []byte("aaaaaaaaaaaaab"), uint8(1))
	f.Add([]byte("p@ss/w+rd"), []byte("cEBzcy93K3Jk"), []byte("p%40ss%2Fw%2Brd cEBzcy93K3Jk"), uint8(5))
	f.Fuzz(func(t *testing.T, one, two, text []byte, cut uint8) {
		if len(one) > 200 || len(two) > 200 || len(text) > 2000 {
			t.Skip("too long for the slow one")
		}
		secrets := []Secret{{"ONE", one}, {"TWO", two}}
		text = bytes.ReplaceAll(text, []byte("\x01"), one)
		text = bytes.ReplaceAll(text, []byte("\x02"), []byte(base64.StdEncoding.EncodeToString(two)))
		var out bytes.Buffer
		w := NewWriter(&out, secrets)
		size := int(cut)%97 + 1
		for rest := text; len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if want := naive(secrets, text); !bytes.Equal(out.Bytes(), want) {
			t.Errorf("got %q, want %q", out.Bytes(), want)
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	line := "2026-11-29T07:00:00Z INFO request done method=GET path=/api/v1/things status=200 took=1.2ms\n"
	chunk := []byte(strings.Repeat(line, 64<<10/len(line)))
	key := func(size int) []byte { // as in PEM, of lines of 64 characters
		var b strings.Builder
		random := rand.NewChaCha8([32]byte{})
		for b.Len() < size {
			var raw [48]byte
			_, _ = random.Read(raw[:])
			b.WriteString(base64.StdEncoding.EncodeToString(raw[:]) + "\n")
		}
		return []byte(b.String())
	}
	for name, secrets := range map[string][]Secret{
		"one":   {{"P", []byte("correct horse battery staple")}},
		"key":   {{"P", key(3 << 10)}},
		"large": {{"P", key(60 << 10)}},
		"short": {{"P", []byte("hunter2")}},
		"ten": {{"A", []byte("sk_live_51H8s9dK2jQw")}, {"B", []byte("ghp_16C7e42F292c6912E7710c838347Ae178B4a")}, {"C", []byte("postgres://u:p4ssw0rd@db/x")},
			{"D", []byte("AKIAIOSFODNN7EXAMPLE")}, {"E", []byte("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}, {"F", []byte("xoxb-1234567890-abcdef")},
			{"G", []byte("hunter2hunter2")}, {"H", []byte("0123456789abcdef")}, {"I", []byte("Tr0ub4dor&3")}, {"J", []byte("eyJhbGciOiJIUzI1NiJ9.e30.abc")}},
	} {
		b.Run(name, func(b *testing.B) {
			w := NewWriter(io.Discard, secrets)
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				if _, err := w.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
