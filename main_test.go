package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts run this very program as kubbi-mcp.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubbi-mcp": main})
}

// TestScripts runs the program as a shell would. Each script has a data
// directory and a loopback port of its own.
func TestScripts(t *testing.T) {
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("cli", "testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			if os.Getenv("KUBBI_PASS") == "race" && !serves(t, env) {
				env.T().Skip("no program serves in this script, so that nothing races: it runs in the plain pass")
			}
			env.Setenv("KUBBI_DATA_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "xdg"))
			env.Values[serverKey("servers")] = map[string]*server{}
			env.Setenv("TAKEN_URL", stranger.URL)
			env.Setenv("TAKEN_ADDR", stranger.Listener.Addr().String())
			for _, name := range []string{"KUBBI_RELAY_URL", "CLOSED_URL"} {
				url, err := freeURL()
				if err != nil {
					return err
				}
				env.Setenv(name, url)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"bytes":      cmdBytes,
			"exits":      cmdExits,
			"field":      cmdField,
			"get":        cmdGet,
			"interrupt":  cmdInterrupt,
			"keyfield":   cmdKeyField,
			"listening":  cmdListening,
			"lives":      cmdLives,
			"mode":       cmdMode,
			"relay":      cmdRelay,
			"secretless": cmdSecretless,
			"serve":      cmdServe,
			"setenv":     cmdSetenv,
			"stop":       cmdStop,
			"terminate":  cmdTerminate,
			"told":       cmdTold,
		},
	})
}

// serves tells whether a script has a program that serves others.
func serves(t *testing.T, env *testscript.Env) bool {
	t.Helper()
	name := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
	b, err := os.ReadFile(filepath.Join("cli", "testdata", "script", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^(serve|relay) `).Match(b)
}

// freeURL is the URL of a loopback port that nobody has right now. It is none
// that the system gives to outgoing connections, or to who asks for any port:
// one of these could take it before the script does.
func freeURL() (string, error) {
	for try := 0; ; try++ {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return "http://" + addr, l.Close()
		}
		if try == 100 {
			return "", fmt.Errorf("no free port: %w", err)
		}
	}
}
