package e2e_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestTheCommandLineDoesWhatTheScriptsSay(t *testing.T) {
	g := start(t, "")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GATEWAY", g.address)
			return nil
		},
	})
}
