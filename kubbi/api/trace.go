package api

// Headers of the W3C's Trace Context, https://www.w3.org/TR/trace-context/.
const (
	HeaderTraceparent = "Traceparent"
	HeaderTracestate  = "Tracestate"
)

// Traceparent is a valid traceparent, taken apart.
type Traceparent struct {
	TraceID string // 32 hexadecimal digits in lower case, not all zero
	Parent  string // 16 of them: the caller's span
	Flags   byte
}

// maxTraceparent bounds what is read of a version that is not known yet.
const maxTraceparent = 256

// ParseTraceparent reads a traceparent as the recommendation says: version 00
// must be exact; of a higher version the parts that 00 has count, and the rest
// is left out.
func ParseTraceparent(s string) (tp Traceparent, ok bool) {
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(s) < length || len(s) > maxTraceparent || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Traceparent{}, false
	}
	version, id, parent, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !lowerHex(version) || !lowerHex(id) || !lowerHex(parent) || !lowerHex(flags) ||
		version == "ff" || zero(id) || zero(parent) {
		return Traceparent{}, false
	}
	if len(s) > length && (version == "00" || s[length] != '-') {
		return Traceparent{}, false
	}
	tp = Traceparent{TraceID: id, Parent: parent, Flags: digit(flags[0])<<4 | digit(flags[1])}
	if version != "00" {
		tp.Flags &= flagSampled // what the others mean there is not known
	}
	return tp, true
}

const flagSampled = 1

// String writes a traceparent of version 00.
func (tp Traceparent) String() string {
	const digits = "0123456789abcdef"
	return "00-" + tp.TraceID + "-" + tp.Parent + "-" + string([]byte{digits[tp.Flags>>4], digits[tp.Flags&0xf]})
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zero(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}

func digit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}
