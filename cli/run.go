package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"kubbi-mcp/internal/child"
	"kubbi-mcp/internal/filename"
	"kubbi-mcp/internal/keep"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools"
)

// runCmd is `kubbi-mcp run`.
type runCmd struct {
	Env     []string `sep:"none" placeholder:"NAME=URL" help:"Give the command what the claim URL, or the id, claims as this variable, without line ends at its end; may be repeated."`
	EnvFrom []string `sep:"none" placeholder:"URL" help:"Give the command each member of a JSON object of strings, such as the answer to the request with an id, as a variable; may be repeated."`
	File    []string `sep:"none" placeholder:"NAME=URL" help:"Give the command what the claim URL, or the id, claims as a file of this name in the folder of the variable KUBBI_FILES; {NAME} in an argument is its path; may be repeated."`
	NoScrub bool     `help:"Leave the command's output as it is. Otherwise each value in it, also in base64, hexadecimal, URL and JSON form, becomes [NAME]."`
	Keep    seconds  `placeholder:"DURATION" help:"Claim once for several runs: keep what was claimed for so long, at most 24h, for this login session alone. Later runs take it from there."`
	Forget  bool     `help:"Forget all that --keep keeps for this login session, and run nothing."`
	Command []string `arg:"" optional:"" help:"The command and its arguments, after --."`
}

// maxKeep is the longest time for --keep.
const maxKeep = 24 * time.Hour

const (
	filesVariable = "KUBBI_FILES" // the folder of the files, for the command

	// maxValue is the size in bytes of the largest variable, and of the largest value that
	// is looked for in the output.
	maxValue = 64 << 10

	exitCantRun    = 126 // as a shell has it
	exitNoSuchFile = 127
)

// childExit is the exit code of a command that has run.
type childExit struct{ code int }

func (e childExit) Error() string { return "" } // the command has said what there is to say

// secretUse is one place where a command gets a secret.
type secretUse struct {
	kind secretKind
	name string // "" for several variables
	url  string // claim URL, token or id
}

// secretKind is the flag that says how a command gets a secret.
type secretKind string

const (
	asVariable  secretKind = "--env"
	asVariables secretKind = "--env-from"
	asFile      secretKind = "--file"
)

func (u secretUse) String() string { return strings.TrimSpace(string(u.kind) + " " + u.name) }

// Run starts the command with what the claim URLs hold. It claims only when the command
// is there, can be run, and every claim URL can be claimed.
func (c *runCmd) Run(a *app) error {
	dir, err := a.dataDir()
	if err != nil {
		return err
	}
	kept := keptFolder(dir)
	if c.Forget {
		return c.forget(a, kept)
	}
	switch {
	case len(c.Command) == 0:
		return usagef("there is no command: give it after --")
	case c.Keep.duration() > maxKeep:
		return usagef("--keep is at most %d hours", int(maxKeep.Hours()))
	case c.Keep > 0:
		if err := keep.Check(); err != nil {
			return fmt.Errorf("--keep: %w; nothing was claimed", err)
		}
	}
	uses, err := c.uses()
	if err != nil {
		return usage(err)
	}
	path, err := child.Find(c.Command[0])
	if err != nil {
		code := exitCantRun
		if errors.Is(err, child.ErrNotFound) {
			code = exitNoSuchFile
		}
		return exitError{fmt.Errorf("%w; nothing was claimed", err), code}
	}
	r := &secretRun{app: a, scrubs: !c.NoScrub, kept: kept, keepFor: c.Keep.duration(), uses: uses, files: map[string]io.Writer{}}
	defer r.wipe()
	if err := r.makeFiles(); err != nil {
		return fmt.Errorf("%w; nothing was claimed", err)
	}
	r.command = child.New(path, r.arguments(c.Command))
	defer r.command.Stop()
	if err := r.claimAndStart(); err != nil {
		return err
	}
	code, err := r.command.Wait(r.wipe)
	if err != nil {
		return err
	}
	if code != 0 {
		return childExit{code}
	}
	return nil
}

// uses reads the flags.
func (c *runCmd) uses() (all []secretUse, err error) {
	for _, flag := range []struct {
		kind   secretKind
		values []string
	}{{asVariable, c.Env}, {asFile, c.File}, {asVariables, c.EnvFrom}} {
		for _, value := range flag.values {
			u, err := parseUse(flag.kind, value)
			if err != nil {
				return nil, err
			}
			if u.name != "" && slices.ContainsFunc(all, func(other secretUse) bool { return other.String() == u.String() }) {
				return nil, fmt.Errorf("%s is given twice", u)
			}
			all = append(all, u)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no secret to run the command with: give --env, --env-from or --file")
	}
	return all, nil
}

// parseUse reads the value of a flag. An error does not quote what may be a claim URL.
func parseUse(kind secretKind, value string) (secretUse, error) {
	u := secretUse{kind: kind, url: value}
	if kind != asVariables {
		name, url, _ := strings.Cut(value, "=")
		why := variableFault(name)
		if kind == asFile {
			why = fileFault(name)
		}
		if url == "" || why != "" {
			return u, fmt.Errorf("%s must be NAME=URL: %s", u, cmp.Or(why, "there is no URL"))
		}
		u.name, u.url = name, url
	}
	if _, err := kubbi.ParseID(u.url); err == nil {
		return u, nil
	}
	if _, err := kubbi.ParseClaimURL(u.url); err != nil {
		return u, fmt.Errorf("%s: %w", u, err)
	}
	return u, nil
}

func variableFault(name string) string {
	switch {
	case !tools.IsVariable(name):
		return "a variable's name has only letters, digits and _, and no digit first"
	case name == filesVariable:
		return filesVariable + " is the folder of the files"
	}
	return ""
}

func fileFault(name string) string {
	switch {
	case name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\:{}`) || name == "." || filename.IsDevice(name):
		return "the name is not that of a file in a folder, such as key.pem"
	case len(name) > filename.MaxBytes || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "the name has characters that can't be seen, or too many"
	}
	return ""
}

// codeVariables and codePrefixes are variables with which the author of a JSON object
// could choose the code that a command runs, or where it connects to. The list can't be
// complete. --env takes them all: its names are the user's.
var (
	codeVariables = strings.Fields(`PATH PATHEXT IFS ENV SHELL SHELLOPTS PS4 PROMPT_COMMAND ZDOTDIR CDPATH HOME USERPROFILE PWD
		TMP TEMP TMPDIR EDITOR VISUAL PAGER LESSOPEN LESSCLOSE BROWSER COMSPEC SYSTEMROOT WINDIR
		CC CXX LD AR MAKEFLAGS GCONV_PATH NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED
		RUBYOPT RUBYLIB RUBYSHELL GEM_HOME GEM_PATH PERL5OPT PERL5LIB PERL5DB PERLLIB PHPRC PHP_INI_SCAN_DIR LUA_INIT LUA_PATH LUA_CPATH
		JAVA_HOME JAVA_OPTS JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS MAVEN_OPTS GRADLE_OPTS GRADLE_USER_HOME CLASSPATH
		GOFLAGS GOPATH GOROOT GOBIN GOENV GOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOTOOLCHAIN CARGO_HOME RUSTC RUSTFLAGS RUSTC_WRAPPER RUSTUP_HOME
		HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY FTP_PROXY CURL_HOME CURL_CA_BUNDLE REQUESTS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
		OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES DOCKER_HOST KUBECONFIG SSH_ASKPASS SSH_AUTH_SOCK`)
	codePrefixes = strings.Fields(`LD_ DYLD_ BASH_ GIT_ PYTHON NPM_CONFIG_ BUNDLE_ CARGO_BUILD_ CARGO_TARGET_ DOTNET_ COR_ CORECLR_ GLIBC_ XDG_ KUBBI_`)
)

// strangersVariableFault says why a stranger may not choose a variable.
func strangersVariableFault(name string) string {
	upper := strings.ToUpper(name)
	switch {
	case !tools.IsVariable(name):
		return "the name of a member is no variable's name"
	case slices.Contains(codeVariables, upper), slices.ContainsFunc(codePrefixes, func(p string) bool { return strings.HasPrefix(upper, p) }):
		return name + " may decide which code runs, or where it connects to: give it with --env"
	}
	if os.Getenv(name) != "" {
		return name + " is set already: unset it, or give it with --env"
	}
	return ""
}
