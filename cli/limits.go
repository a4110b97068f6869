package cli

import (
	"fmt"
	"strconv"
	"strings"

	"kubbi-mcp/kubbi/api"
)

// maxSize bounds the limits themselves, as the answer of a service that speaks JSON
// alone stands in memory. A sealed payload is a little larger than what is in it: one
// of 1 GiB is to fit.
const maxSize byteSize = 2 << 30

// limits are what the embedded relay accepts.
func (c *Config) limits() api.Limits {
	l := api.DefaultLimits()
	l.ContentBytes, l.PackageBytes = int64(c.MaxContent), int64(c.MaxPackage)
	return l
}

func (c *Config) validateLimits() error {
	for _, f := range []struct {
		name  string
		value byteSize
	}{{"--max-content (KUBBI_MAX_CONTENT)", c.MaxContent}, {"--max-package (KUBBI_MAX_PACKAGE)", c.MaxPackage}} {
		if f.value < 1 || f.value > maxSize {
			return fmt.Errorf("%s must be between 1 byte and 2GiB", f.name)
		}
	}
	return nil
}

// answerLimit is the longest answer to a claim, in bytes, of what such limits let
// through: every byte of a content may be six, and of a package, as base64 or
// text, two.
func answerLimit(l api.Limits) int64 {
	const envelope = 1 << 20
	return max(6*l.ContentBytes, 2*l.PackageBytes) + envelope
}

// byteSize is a number of bytes, also given in KiB, MiB or GiB.
type byteSize int64

// UnmarshalText reads "1048576" or "1MiB".
func (b *byteSize) UnmarshalText(text []byte) error {
	v := strings.TrimSpace(string(text))
	unit := int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if number, ok := strings.CutSuffix(v, suffix); ok {
			v, unit = number, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is not a size in bytes, such as 1048576 or 1MiB", text)
	}
	*b = byteSize(n * unit)
	return nil
}
