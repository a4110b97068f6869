package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools"
)

// Config holds the flags that all commands share. Each has an environment variable; a flag
// overrides its variable. docs/configuration.md explains them.
type Config struct {
	APIKey      string    `group:"Configuration:" variable:"KUBBI_API_KEY" title:"API key" secret:"" placeholder:"KEY" help:"API key of the hosted service or of a team's relay. Without one the embedded relay is used."`
	BaseURL     string    `group:"Configuration:" variable:"KUBBI_BASE_URL" title:"Service or relay" placeholder:"URL" help:"Where kubbis are created: https://api.kubbi.ai with a key, else the embedded relay."`
	DataDir     string    `complete:"dir" group:"Configuration:" variable:"KUBBI_DATA_DIR" placeholder:"DIR" help:"Folder of the embedded relay's store and keys; by default this platform's place for user data."`
	RelayURL    string    `group:"Configuration:" variable:"KUBBI_RELAY_URL" placeholder:"URL" default:"http://127.0.0.1:7117" help:"Origin of the embedded relay's claim URLs (${default})."`
	AllowOrigin []string  `group:"Configuration:" variable:"KUBBI_ALLOW_ORIGINS" placeholder:"ORIGIN" help:"Also claim from this origin; may be repeated. The base URL's, the embedded relay's and https://api.kubbi.ai always are; * allows any public https origin."`
	DefaultTTL  seconds   `group:"Configuration:" name:"default-ttl" variable:"KUBBI_DEFAULT_TTL" placeholder:"TTL" default:"3600" help:"How long a kubbi lives unless told: seconds, or a duration such as 10m or 1d (${default})."`
	ToolPrefix  string    `group:"Configuration:" variable:"KUBBI_TOOL_PREFIX" placeholder:"PREFIX" help:"Put this before the name of every MCP tool, as kubbi_."`
	Sealed      bool      `group:"Configuration:" variable:"KUBBI_SEALED" title:"Seal everything" help:"Encrypt what is sent first, with a key that only the claim URL has, after #."`
	AllowDir    []string  `complete:"dir" group:"Configuration:" variable:"KUBBI_ALLOW_DIRS" title:"Folders" placeholder:"DIR" help:"Let agents send files from this folder by path, and save into it; may be repeated. Over stdio the folders that the host offers are allowed as well. Over HTTP with tokens it is NAME=DIR, for the caller of that name."`
	AllowHidden bool      `group:"Configuration:" variable:"KUBBI_ALLOW_HIDDEN" help:"Let agents touch, in allowed folders, what starts with a dot or looks like a store of keys as well, and save files that programs or agents act on by themselves."`
	AllowEnv    []string  `group:"Configuration:" variable:"KUBBI_ALLOW_ENV" placeholder:"NAME" help:"Let agents send the value of this variable of the server's environment, without seeing it; may be repeated."`
	MaxInline   int64     `group:"Configuration:" variable:"KUBBI_MAX_INLINE" placeholder:"BYTES" default:"32768" help:"Largest answer to a claim, in bytes, that passes through an agent's context (${default}); a larger payload is saved into a folder."`
	MaxContent  byteSize  `group:"Configuration:" variable:"KUBBI_MAX_CONTENT" placeholder:"SIZE" default:"10MiB" help:"Largest single content that the embedded relay takes (${default})."`
	MaxPackage  byteSize  `group:"Configuration:" variable:"KUBBI_MAX_PACKAGE" placeholder:"SIZE" default:"256MiB" help:"Largest package that the embedded relay takes, all files together (${default})."`
	LogLevel    logLevel  `complete:"debug,info,warn,error" group:"Configuration:" variable:"KUBBI_LOG_LEVEL" placeholder:"LEVEL" help:"debug, info, warn or error; by default info for serve, warn for the other commands."`
	LogFormat   logFormat `complete:"text,json" group:"Configuration:" variable:"KUBBI_LOG_FORMAT" placeholder:"FORMAT" default:"text" help:"text or json (${default}). Logs go to standard error."`
}

// validate finds mistakes that other packages would find later, without the flag's name.
func (c *Config) validate() error {
	if strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("--api-key (KUBBI_API_KEY) is not an API key: it holds a space or a character that a key can't have")
	}
	limits := api.DefaultLimits()
	if s := c.DefaultTTL.int(); s < limits.MinTTLSeconds || s > limits.MaxTTLSeconds {
		return fmt.Errorf("--default-ttl (KUBBI_DEFAULT_TTL) must be between %d and %d seconds", limits.MinTTLSeconds, limits.MaxTTLSeconds)
	}
	if c.MaxInline < 1 {
		return fmt.Errorf("--max-inline (KUBBI_MAX_INLINE) must be at least 1 byte")
	}
	if !tools.IsPrefix(c.ToolPrefix) {
		return fmt.Errorf("--tool-prefix (KUBBI_TOOL_PREFIX) may hold at most 32 letters, digits, and _ -")
	}
	for _, name := range c.AllowEnv {
		if !tools.IsVariable(name) {
			return fmt.Errorf("--allow-env (KUBBI_ALLOW_ENV) must be the name of an environment variable, without its value")
		}
	}
	return c.validateLimits()
}

// helpWithVariable adds the environment variable to a flag's help.
func helpWithVariable(value *kong.Value) string {
	if name := value.Tag.Get("variable"); name != "" {
		return value.Help + " [$" + name + "]"
	}
	return value.Help
}

// maxSize bounds the limits: an answer in JSON is kept in memory. A sealed payload is a
// little larger than its content, and one with 1 GiB of content must fit.
const maxSize byteSize = 2 << 30

// limits are the limits of the embedded relay.
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

// answerLimit is the length, in bytes, of the longest answer to a claim under such limits.
// In JSON a byte of a content takes at most six, a byte of a package at most two.
func answerLimit(l api.Limits) int64 {
	const envelope = 1 << 20
	return max(6*l.ContentBytes, 2*l.PackageBytes) + envelope
}
