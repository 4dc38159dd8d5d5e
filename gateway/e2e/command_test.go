package e2e_test

import (
	"testing"

	"sluice/gateway/gatewaytest"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestTheCommandLineDoesWhatTheScriptsSay(t *testing.T) {
	g := gatewaytest.Launch(t, "")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GATEWAY", g.Address)
			return nil
		},
	})
}
