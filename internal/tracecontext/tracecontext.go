// Package tracecontext reads the headers of the W3C's Trace Context,
// https://www.w3.org/TR/trace-context/.
package tracecontext

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The headers.
const (
	HeaderParent = "Traceparent"
	HeaderState  = "Tracestate"
)

// Parent is a valid traceparent header.
type Parent struct {
	TraceID string // 32 hexadecimal digits in lower case, not all zero
	SpanID  string // 16 of them: the caller's span
	Flags   byte
}

const (
	maxParent   = 256  // bytes of a header, which may be longer in later versions
	flagSampled = 0x01 // the only flag that every version has
)

var parentPattern = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$`)

// ParseParent reads a traceparent header. A header of version 00 must have exactly its
// parts. From a header of a later version it reads the parts that version 00 has.
func ParseParent(s string) (p Parent, ok bool) {
	if len(s) > maxParent {
		return Parent{}, false
	}
	m := parentPattern.FindStringSubmatch(s)
	if m == nil || m[1] == "ff" || strings.Trim(m[2], "0") == "" || strings.Trim(m[3], "0") == "" {
		return Parent{}, false
	}
	flags, _ := strconv.ParseUint(m[4], 16, 8)
	p = Parent{TraceID: m[2], SpanID: m[3], Flags: byte(flags)}
	if m[1] != "00" {
		p.Flags &= flagSampled
		return p, true
	}
	return p, m[5] == ""
}

// String writes a traceparent header of version 00.
func (p Parent) String() string { return fmt.Sprintf("00-%s-%s-%02x", p.TraceID, p.SpanID, p.Flags) }

// Limits of a tracestate header, from the recommendation.
const (
	maxState    = 512 // bytes
	maxMembers  = 32
	maxStateKey = 256 // bytes
)

var memberPattern = regexp.MustCompile(`^([a-z0-9][a-z0-9_*/-]*(@[a-z0-9][a-z0-9_*/-]{0,13})?)=[ -<>-~]{1,256}$`)

// ValidState reports whether a tracestate header is a list of members, key=value, with
// each key once. An empty member is allowed.
func ValidState(s string) bool {
	if len(s) > maxState {
		return false
	}
	keys := make(map[string]bool)
	for member := range strings.SplitSeq(s, ",") {
		if member = strings.Trim(member, " \t"); member == "" {
			continue
		}
		m := memberPattern.FindStringSubmatch(member)
		if m == nil || keys[m[1]] || len(m[1]) > maxStateKey || len(keys) == maxMembers {
			return false
		}
		keys[m[1]] = true
	}
	return len(keys) > 0
}
