package cli

import (
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"kubbi-mcp/kubbi/api"
)

// Config holds the flags that all commands share. Each has an environment
// variable; a flag wins over it. docs/configuration.md explains them.
type Config struct {
	APIKey      string    `group:"Configuration:" variable:"KUBBI_API_KEY" placeholder:"KEY" help:"API key of the hosted service or of a team's relay. Without one the embedded relay is used."`
	BaseURL     string    `group:"Configuration:" variable:"KUBBI_BASE_URL" placeholder:"URL" help:"Where kubbis are created: https://api.kubbi.ai with a key, else the embedded relay."`
	DataDir     string    `complete:"dir" group:"Configuration:" variable:"KUBBI_DATA_DIR" placeholder:"DIR" help:"Folder of the embedded relay's store and keys; by default this platform's place for user data."`
	RelayURL    string    `group:"Configuration:" variable:"KUBBI_RELAY_URL" placeholder:"URL" default:"http://127.0.0.1:7117" help:"Origin of the embedded relay's claim URLs (${default})."`
	AllowOrigin []string  `group:"Configuration:" variable:"KUBBI_ALLOW_ORIGINS" placeholder:"ORIGIN" help:"Also claim from this origin; may be repeated. The base URL's, the embedded relay's and https://api.kubbi.ai always are; * allows any public https origin."`
	DefaultTTL  seconds   `group:"Configuration:" name:"default-ttl" variable:"KUBBI_DEFAULT_TTL" placeholder:"TTL" default:"3600" help:"How long a kubbi lives unless told: seconds, or a duration such as 10m or 1d (${default})."`
	ToolPrefix  string    `group:"Configuration:" variable:"KUBBI_TOOL_PREFIX" placeholder:"PREFIX" help:"Put this before the name of every MCP tool, as kubbi_."`
	Sealed      bool      `group:"Configuration:" variable:"KUBBI_SEALED" help:"Encrypt what is sent first, with a key that only the claim URL has, after #."`
	AllowDir    []string  `complete:"dir" group:"Configuration:" variable:"KUBBI_ALLOW_DIRS" placeholder:"DIR" help:"Let agents send files from this folder by path, and save into it; may be repeated. Over stdio the folders that the host offers are allowed as well. Over HTTP with tokens it is NAME=DIR, for the caller of that name."`
	AllowHidden bool      `group:"Configuration:" variable:"KUBBI_ALLOW_HIDDEN" help:"Let agents touch, in allowed folders, what starts with a dot or looks like a store of keys as well, and save files that programs or agents act on by themselves."`
	MaxInline   int64     `group:"Configuration:" variable:"KUBBI_MAX_INLINE" placeholder:"BYTES" default:"32768" help:"Largest answer to a claim, in bytes, that passes through an agent's context (${default}); a larger payload is saved into a folder."`
	MaxContent  byteSize  `group:"Configuration:" variable:"KUBBI_MAX_CONTENT" placeholder:"SIZE" default:"10MiB" help:"Largest single content that the embedded relay takes (${default})."`
	MaxPackage  byteSize  `group:"Configuration:" variable:"KUBBI_MAX_PACKAGE" placeholder:"SIZE" default:"256MiB" help:"Largest package that the embedded relay takes, all files together (${default})."`
	LogLevel    logLevel  `complete:"debug,info,warn,error" group:"Configuration:" variable:"KUBBI_LOG_LEVEL" placeholder:"LEVEL" help:"debug, info, warn or error; by default info for serve, warn for the other commands."`
	LogFormat   logFormat `complete:"text,json" group:"Configuration:" variable:"KUBBI_LOG_FORMAT" placeholder:"FORMAT" default:"text" help:"text or json (${default}). Logs go to standard error."`
}

var prefixRule = regexp.MustCompile(`^[A-Za-z0-9_-]{0,32}$`)

// validate finds what would only surface later, or in an error that could not
// name the flag.
func (c *Config) validate() error {
	if i := strings.IndexFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }); i >= 0 {
		return fmt.Errorf("--api-key (KUBBI_API_KEY) is not an API key: it holds a space or a character that a key can't have")
	}
	limits := api.DefaultLimits()
	if s := c.DefaultTTL.int(); s < limits.MinTTLSeconds || s > limits.MaxTTLSeconds {
		return fmt.Errorf("--default-ttl (KUBBI_DEFAULT_TTL) must be between %d and %d seconds", limits.MinTTLSeconds, limits.MaxTTLSeconds)
	}
	if c.MaxInline < 1 {
		return fmt.Errorf("--max-inline (KUBBI_MAX_INLINE) must be at least 1 byte")
	}
	if !prefixRule.MatchString(c.ToolPrefix) {
		return fmt.Errorf("--tool-prefix (KUBBI_TOOL_PREFIX) may hold at most 32 letters, digits, and _ -")
	}
	return c.validateLimits()
}

// helpWithVariable shows a flag's environment variable behind its help.
func helpWithVariable(value *kong.Value) string {
	if name := value.Tag.Get("variable"); name != "" {
		return value.Help + " [$" + name + "]"
	}
	return value.Help
}

// seconds is a time that is given in whole seconds, or as a Go duration that may
// begin with days.
type seconds time.Duration

// maxSeconds keeps arithmetic on a time to live far from overflow.
const maxSeconds = 366 * 24 * 60 * 60

// UnmarshalText reads "600", "10m" or "1d12h".
func (s *seconds) UnmarshalText(text []byte) error {
	v := strings.TrimSpace(string(text))
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		d, err := parseDuration(v)
		if err != nil || d%time.Second != 0 {
			return fmt.Errorf("%q is not a time in whole seconds, such as 600, 10m or 1d", v)
		}
		n = int64(d / time.Second)
	}
	if n < 1 || n > maxSeconds {
		return fmt.Errorf("%q is not between 1 second and 366 days", v)
	}
	*s = seconds(time.Duration(n) * time.Second)
	return nil
}

var daysRule = regexp.MustCompile(`^([0-9]{1,5})d(.*)$`)

// parseDuration reads a Go duration that may begin with whole days of 24 hours.
func parseDuration(v string) (time.Duration, error) {
	m := daysRule.FindStringSubmatch(v)
	if m == nil {
		return time.ParseDuration(v)
	}
	days, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, err
	}
	rest := time.Duration(0)
	if m[2] != "" {
		if rest, err = time.ParseDuration(m[2]); err != nil {
			return 0, err
		}
	}
	if rest < 0 || rest >= 24*time.Hour {
		return 0, fmt.Errorf("%q has more than a day behind its days", v)
	}
	return time.Duration(days)*24*time.Hour + rest, nil
}

func (s seconds) int() int                { return int(time.Duration(s) / time.Second) }
func (s seconds) duration() time.Duration { return time.Duration(s) }

// logLevel is a slog.Level, or unset.
type logLevel struct {
	set   bool
	level slog.Level
}

// UnmarshalText reads one of slog's four names, in any case.
func (l *logLevel) UnmarshalText(text []byte) error {
	switch v := strings.ToLower(string(text)); v {
	case "debug", "info", "warn", "error":
		l.set = true
		return l.level.UnmarshalText(text)
	case "warning":
		*l = logLevel{set: true, level: slog.LevelWarn}
		return nil
	default:
		return fmt.Errorf("%q is not debug, info, warn or error", v)
	}
}

// logFormat is "text" or "json".
type logFormat string

// UnmarshalText reads "text" or "json".
func (f *logFormat) UnmarshalText(text []byte) error {
	switch v := strings.ToLower(string(text)); v {
	case "text", "json":
		*f = logFormat(v)
		return nil
	default:
		return fmt.Errorf("%q is not text or json", v)
	}
}
