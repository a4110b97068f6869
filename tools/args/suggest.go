package args

import (
	"fmt"
	"slices"
	"strings"
)

// synonyms are what models call our arguments, folded. They are suggested, and not
// accepted: they may mean something else.
var synonyms = map[string]string{
	"text": "content", "message": "content", "body": "content", "data": "content", "payload": "content", "value": "content", "json": "content",
	"mimetype": "content_type", "type": "content_type", "mediatype": "content_type", "format": "content_type",
	"expires": "ttl_seconds", "expiresin": "ttl_seconds", "expiry": "ttl_seconds", "lifetime": "ttl_seconds", "timeout": "ttl_seconds", "duration": "ttl_seconds",
	"maxclaims": "max_retrievals", "maxreads": "max_retrievals", "maxviews": "max_retrievals", "maxdownloads": "max_retrievals", "uses": "max_retrievals", "burn": "max_retrievals", "once": "max_retrievals",
	"encrypt": "sealed", "encrypted": "sealed", "seal": "sealed", "e2e": "sealed", "meta": "metadata", "labels": "metadata", "tags": "metadata",
	"file": "path", "filepath": "path", "folder": "save_to", "directory": "save_to", "output": "save_to", "outputpath": "save_to", "destination": "save_to",
	"url": "claim_url", "link": "claim_url", "uri": "claim_url", "token": "claim_url", "id": "claim_url", "claimurl": "id", "kubbi": "claim_url", "kubbiid": "id",
	"state": "status", "filter": "status", "pagesize": "limit", "perpage": "limit", "count": "limit", "replace": "overwrite", "force": "overwrite",
}

// suggest says which members an object of the schema has, and which of them the
// unknown ones probably mean.
func (s *Schema) suggest(unknown []string, top bool) string {
	known := strings.Join(s.names, ", ")
	var near []string
	for _, name := range unknown[:min(len(unknown), 10)] {
		if n := s.nearest(name); n != "" && !slices.Contains(near, n) {
			near = append(near, n)
		}
	}
	switch {
	case near != nil:
		return fmt.Sprintf(": did you mean %s? (known: %s)", strings.Join(near, ", "), known)
	case top:
		return " (this tool takes " + known + ")"
	default:
		return " (known: " + known + ")"
	}
}

// nearest gives the member that a misspelled name probably means, "" if there is
// none.
func (s *Schema) nearest(name string) string {
	name = fold(name)
	if len(name) > 60 || len(name) < 2 {
		return ""
	}
	if other := synonyms[name]; s.members[other] != nil {
		return other
	}
	best, least := "", max(1, len(name)/3)+1
	for _, known := range s.names {
		f := fold(known)
		d := editDistance(name, f)
		if strings.Contains(f, name) || strings.Contains(name, f) {
			d = min(d, 1) // ttl, url, the_content
		}
		if d < least {
			best, least = known, d
		}
	}
	return best
}

// editDistance counts how many bytes to insert, delete, replace or swap with the
// next to turn a into b.
func editDistance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}

// quoteNames lists at most ten unknown names, each shortened: they come from
// outside.
func quoteNames(all []string) string {
	slices.Sort(all)
	var quoted []string
	for _, n := range all[:min(len(all), 10)] {
		quoted = append(quoted, fmt.Sprintf("%q", cut(n, 60)))
	}
	text := strings.Join(quoted, ", ")
	if more := len(all) - len(quoted); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
