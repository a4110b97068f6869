package cli

import "kubbi-mcp/kubbi/api"

// limits are what the embedded relay accepts: what the API is known to, except
// that a package may be larger, since files by path pass through no memory.
func (c *Config) limits() api.Limits {
	l := api.DefaultLimits()
	l.PackageBytes = 256 << 20
	return l
}

// answerLimit is the longest answer to a claim, in bytes, of what such limits let
// through: every byte of a content may be six, and of a package, as base64 or
// text, two.
func answerLimit(l api.Limits) int64 {
	const envelope = 1 << 20
	return max(6*l.ContentBytes, 2*l.PackageBytes) + envelope
}
