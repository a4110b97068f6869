package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
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

// freeURL is the URL of a loopback port that nobody has right now.
func freeURL() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return "http://" + l.Addr().String(), nil
}
