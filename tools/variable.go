package tools

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/args"
	"kubbi-mcp/tools/files"
)

// Variables says which variables of this process's environment a call may send. The zero
// value is none.
type Variables struct {
	Allowed []string
	Lookup  func(string) (string, bool) // as os.LookupEnv
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`)

// IsVariable reports whether an environment variable can have this name.
func IsVariable(name string) bool { return variableName.MatchString(name) }

// value gives the value of a variable. An error says whether the variable is not allowed, not
// set or empty. It does not say whether one that is not allowed is set.
func (v Variables) value(name string) (string, error) {
	switch {
	case !IsVariable(name):
		return "", args.Error("env must be the name of an environment variable: letters, digits and _, and no digit first.")
	case len(v.Allowed) == 0:
		return "", files.Refusal(fmt.Sprintf("your user allows no variable to be sent. They can allow it with --allow-env %s (KUBBI_ALLOW_ENV)", name))
	case !slices.Contains(v.Allowed, name):
		return "", files.Refusal(fmt.Sprintf("%s is none of the variables that your user allows, which are %s. They can allow it with --allow-env %s (KUBBI_ALLOW_ENV)",
			name, strings.Join(v.Allowed, ", "), name))
	}
	value, set := v.Lookup(name)
	if value == "" {
		state := "empty"
		if !set {
			state = "not set"
		}
		return "", files.Refusal(fmt.Sprintf("%s is allowed, and %s in the environment of this server: your user must set it there and restart this server", name, state))
	}
	return value, nil
}

// contentOfVariable prepares the value of a variable that is sent as a single content: sealed,
// and to be claimed once, unless the call says otherwise.
func (t *toolset) contentOfVariable(in sendInput, p *kubbi.SendParams) error {
	value, err := t.Variables.value(in.Env)
	if err != nil {
		return err
	}
	p.Sealed = in.Sealed == nil || *in.Sealed
	if in.MaxRetrievals == 0 {
		p.MaxRetrievals = 1
	}
	if !utf8.ValidString(value) {
		return files.Refusal(in.Env + " holds bytes that are no text")
	}
	p.Content, p.ContentType, err = payload(appendString(nil, value), in.ContentType)
	return err
}

// opensHere reports whether this machine is one of the recipients.
func (t *toolset) opensHere(ctx context.Context, to []kubbi.Recipient) bool {
	mine := t.PublicKey(ctx)
	return slices.ContainsFunc(to, func(r kubbi.Recipient) bool { return r.String() == mine })
}
