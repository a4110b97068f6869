package kubbi

import (
	"net/url"
	"strings"
	"unicode"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

// People and programs send a claim URL in many forms: in a sentence, in a Markdown or Slack
// link, with a tracking query after it, with "%23" for "#". This file finds it in a text. A
// text that can be read in exactly one way is accepted; any other text is refused. The
// origin is always taken from the text, and Client checks later whether it is allowed.

// maxClaimText is the longest text, in bytes, that a claim URL is looked for in.
const maxClaimText = 16 << 10

// wholeToken is the length of our relay's tokens. Other services may have others.
const wholeToken = 43

// findClaimURL gives the only claim URL in a text.
func findClaimURL(text string) (ClaimURL, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && !unicode.IsSpace(r) || r == 0x7f }) {
		return ClaimURL{}, invalid("claim URL holds a control character")
	}
	words := splitWords(text)
	var found *link
	var fault, other error // of a broken claim URL, and of other URLs
	for i, w := range words {
		l, err := readWord(w)
		switch {
		case err != nil && l.other:
			other = err
		case err != nil:
			fault = err
		case l.token == "":
		case l.schemeGuessed && i > 0 && strings.HasSuffix(words[i-1], "://"):
			return ClaimURL{}, invalid("claim URL is broken in two after its ://: join its parts")
		case i+1 < len(words) && l.brokenBefore(words[i+1]):
			return ClaimURL{}, invalid("claim URL is broken in two by a space or a line's end: join its parts")
		case found == nil:
			found = &l
		case !found.merge(l):
			return ClaimURL{}, invalid("there are two different claim URLs in it: give one of them")
		}
	}
	switch {
	case fault != nil:
		return ClaimURL{}, fault
	case found != nil:
		return found.ClaimURL, nil
	case other != nil:
		return ClaimURL{}, other
	case len(words) > 1:
		return ClaimURL{}, invalid("there is no claim URL, https://<host>/r/<token>, in it")
	default:
		return ClaimURL{}, invalid("neither a claim URL, https://<host>/r/<token>, nor a claim token, %d to %d characters of A-Z a-z 0-9 - _", minToken, maxToken)
	}
}

// link is a claim URL that was found in a text.
type link struct {
	ClaimURL
	short bool // dots follow it, so it may be only the start of a URL
	plain bool // nothing follows it in its word
	other bool // set together with an error: it is a URL, but no claim URL
}

// merge merges another link of the same text into l. It returns false if they are different
// claim URLs. "[URL](URL)" has a claim URL twice, and "<URL|start of URL...>" has a second
// one that is cut.
func (l *link) merge(m link) bool {
	a, b := &l.ClaimURL, &m.ClaimURL
	sameHost := a.origin == b.origin || a.origin.SameLoopback(b.origin) || (a.schemeGuessed || b.schemeGuessed) && a.origin.Host() == b.origin.Host()
	switch {
	case !sameHost:
		return false
	case a.token == b.token && (a.fragment == b.fragment || b.fragment == ""):
		if !b.schemeGuessed {
			a.origin, a.schemeGuessed = b.origin, false
		}
		l.short = l.short && m.short
		return true
	case a.token == b.token && a.fragment == "":
		b.schemeGuessed = a.schemeGuessed && b.schemeGuessed
		*l = m
		return true
	case m.short && strings.HasPrefix(a.token, b.token):
		return true
	case l.short && strings.HasPrefix(b.token, a.token):
		*l = m
		return true
	}
	return false
}

// brokenBefore reports whether the word after a link looks like its second part.
func (l *link) brokenBefore(next string) bool {
	return l.plain && l.fragment == "" && len(l.token)+len(next) == wholeToken && isToken(l.token+next)
}

// splitWords splits a text where no URL can continue: at space, at brackets and quotes that
// URLs do not have, and between the halves of a Markdown link.
func splitWords(text string) []string {
	var words []string
	for _, w := range strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("<>\"`|", r)
	}) {
		for part := range strings.SplitSeq(w, "](") {
			if part != "" {
				words = append(words, part)
			}
		}
	}
	return words
}

// readWord reads a word as a claim URL. For a word that does not look like a URL, it gives
// a link without a token and no error.
func readWord(w string) (link, error) {
	if len(w) > 8 && (strings.EqualFold(w[:6], "https%") || strings.EqualFold(w[:5], "http%")) {
		if plain, err := url.PathUnescape(w); err == nil {
			w = plain
		}
	}
	before, rest, ok := strings.Cut(w, "://")
	if !ok {
		if strings.Contains(w, api.PathClaim) {
			return readBare(strings.TrimLeftFunc(w, mayPrecedeURL))
		}
		return link{}, nil
	}
	text := strings.TrimRightFunc(before, func(r rune) bool { return isLetterOrDigit(r) || strings.ContainsRune("+-.", r) })
	scheme := strings.TrimLeft(before[len(text):], "0123456789+-.") // "1.https"
	before = strings.TrimSuffix(before, scheme)
	if strings.HasSuffix(before, "_") { // "_https://..._"
		rest = strings.TrimRight(rest, "_")
	}
	if strings.ContainsAny(before, `/\@%?#`) {
		return link{}, invalid("claim URL stands inside another URL: give the claim URL alone")
	}
	return readURL(scheme, rest, true)
}

// readBare reads a claim URL without a scheme.
func readBare(w string) (link, error) {
	if i := strings.IndexByte(w, '['); i == 0 && !isIPv6(w) {
		w = w[1:]
	}
	authority, _, _ := strings.Cut(w, "/")
	if strings.HasSuffix(authority, ":") || !strings.ContainsAny(authority, ".:") && !strings.EqualFold(authority, "localhost") {
		return link{}, invalid("neither a claim URL, https://<host>/r/<token>, nor a claim token: it has no whole host")
	}
	scheme := "https"
	if o, err := origin.New("http", authority); err == nil && o.SameLoopback(o) {
		scheme = "http"
	}
	l, err := readURL(scheme, w, false)
	l.schemeGuessed = err == nil
	return l, err
}

// isIPv6 reports whether a word starts with an IPv6 address in brackets.
func isIPv6(w string) bool {
	inner, _, ok := strings.Cut(w[1:], "]")
	return ok && strings.Trim(inner, "0123456789abcdefABCDEF:.") == ""
}

// readURL reads the part of a URL after "scheme://". It is strict about the host, and not
// about what follows the token, which can't change where the URL leads. If unwraps is set,
// it also reads the URL inside a Safe Link.
func readURL(scheme, rest string, unwraps bool) (link, error) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if strings.ContainsFunc(authority, func(r rune) bool { return r == '\\' || r >= 0x7f }) {
		return link{}, invalid("claim URL has a backslash or a character outside ASCII in its host")
	}
	if strings.EqualFold(scheme, idScheme) {
		return link{}, invalid("this is a kubbi's id, for get and delete, and no claim URL; only the claim_url that its sender got opens it")
	}
	inner, whole := wrapsLink(path), path
	path, fragment := cutFragment(path)
	path, query, hasQuery := strings.Cut(path, "?")
	if path == "" && !hasQuery { // "see https://example.com."
		authority = strings.TrimRight(authority, ".,;:!?)]}'*")
	}
	at, err := origin.New(scheme, authority)
	if err != nil {
		return link{other: !strings.Contains(rest, api.PathClaim) && !inner}, invalid("claim URL %v", err)
	}
	if !strings.HasPrefix(path, api.PathClaim) {
		if target := safeLink(at, whole); unwraps && target != "" {
			if scheme, rest, ok := strings.Cut(target, "://"); ok {
				return readURL(scheme, rest, false)
			}
		}
		if inner {
			return link{}, invalid("claim URL stands in the query string or path of a URL of another site: give the claim URL alone")
		}
		if strings.HasPrefix(path, api.PathAnswer) {
			return link{other: true}, invalid("this is a request URL, to be answered with `kubbi-mcp answer` or in a browser, and no claim URL")
		}
		return link{other: true}, invalid("claim URL has another path than /r/<token>")
	}
	if hasQuery && wrapsLink(query) {
		return link{}, invalid("claim URL has a query string with another claim URL in it: give one of them")
	}
	// Remove from the path what may follow a URL in a text.
	path = strings.ReplaceAll(path, `\_`, "_") // as Markdown has it
	segment := path
	if i := strings.IndexFunc(segment, endsURLPath); i >= 0 {
		if wrapsLink(segment[i:]) || strings.Contains(segment[i:], "://") {
			return link{}, invalid("claim URL is followed by another one: give one of them")
		}
		segment = segment[:i]
	}
	trimmed := strings.TrimRight(segment, ".:?!")
	if strings.HasSuffix(trimmed, "/") && segment[len(trimmed):] == ".." {
		trimmed = segment // a path with .. is refused below
	}
	token, err := pathToken(trimmed)
	if err != nil {
		return link{}, invalid("claim URL %v", err)
	}
	return link{
		ClaimURL: ClaimURL{origin: at, token: token, fragment: cleanFragment(fragment)},
		short:    strings.HasPrefix(path[len(trimmed):], "...") || strings.HasPrefix(path[len(trimmed):], "…"),
		plain:    path == trimmed && !hasQuery && fragment == "",
	}, nil
}

// cutFragment cuts at the "#", or at its escape.
func cutFragment(path string) (before, fragment string) {
	before, fragment, ok := strings.Cut(path, "#")
	if !ok {
		before, fragment, _ = strings.Cut(path, "%23")
	}
	return before, fragment
}

// cleanFragment removes what follows a fragment: punctuation, or a tracking parameter.
func cleanFragment(f string) string {
	if strings.Contains(f, "%") {
		if plain, err := url.PathUnescape(f); err == nil {
			f = plain
		}
	}
	f = strings.ReplaceAll(f, `\_`, "_")
	notPart := func(r rune) bool { return !isLetterOrDigit(r) && !strings.ContainsRune("-_=", r) }
	if end := strings.IndexFunc(f, notPart); end >= 0 {
		f = f[:end]
	}
	return f
}

// wrapsLink reports whether a part of a URL may hold a claim URL, escaped or not.
func wrapsLink(s string) bool {
	for range 3 {
		if i := strings.Index(s, api.PathClaim); i > 0 || i == 0 && strings.Contains(s[1:], api.PathClaim) {
			return true
		}
		plain, err := url.QueryUnescape(s)
		if err != nil || plain == s {
			return err != nil && strings.Contains(strings.ToLower(s), "%2fr%2f")
		}
		s = plain
	}
	return strings.Contains(s, api.PathClaim)
}

// safeLink gives the URL inside a link of Outlook's Safe Links, and "" for other links.
func safeLink(at origin.Origin, path string) string {
	path, _, _ = strings.Cut(path, "#")
	_, query, _ := strings.Cut(path, "?")
	if at.Scheme() != "https" || !strings.HasSuffix(at.Host(), ".safelinks.protection.outlook.com") {
		return ""
	}
	q, err := url.ParseQuery(query)
	if err != nil || len(q["url"]) != 1 {
		return ""
	}
	return q.Get("url")
}

// mayPrecedeURL reports whether r may precede a URL in a text.
func mayPrecedeURL(r rune) bool {
	return strings.ContainsRune("({'*~,;:=", r) || r > unicode.MaxASCII && unicode.In(r, unicode.P, unicode.S, unicode.Cf)
}

// endsURLPath reports whether r ends a URL's path in a text.
func endsURLPath(r rune) bool {
	return strings.ContainsRune("'()[]{},;*~&\\", r) || r > unicode.MaxASCII
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// isLetterOrDigit reports whether r is a letter or digit of ASCII.
func isLetterOrDigit(r rune) bool { return isLetter(r) || '0' <= r && r <= '9' }
