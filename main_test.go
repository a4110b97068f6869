package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"kubbi-mcp/internal/testkit"
)

// TestMain lets scripts run this test binary as kubbi-mcp.
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
				addr, err := testkit.FreeAddr()
				if err != nil {
					return err
				}
				env.Setenv(name, "http://"+addr)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"bytes":      cmdBytes,
			"exits":      cmdExits,
			"field":      cmdField,
			"get":        cmdGet,
			"interrupt":  cmdEnds("interrupt", func(s *server) error { return s.signal(os.Interrupt) }), // as Ctrl-C does
			"keyfield":   cmdKeyField,
			"listening":  cmdListening,
			"lives":      cmdLives,
			"mode":       cmdMode,
			"relay":      cmdRelay,
			"secretless": cmdSecretless,
			"serve":      cmdServe,
			"setenv":     cmdSetenv,
			"stop":       cmdEnds("stop", (*server).end),
			"terminate":  cmdEnds("terminate", func(s *server) error { return s.signal(syscall.SIGTERM) }), // as a service manager does
			"logged":     cmdLogged,
		},
	})
}
