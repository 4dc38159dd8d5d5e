// Package e2e_test drives the built command from outside, as its users do: by
// signals and exit statuses, by Node and a browser, behind nginx. Foreign
// programs that are missing make a test skip, except in CI, where they fail it.
package e2e_test

import (
	"os"
	"testing"

	"sluice/gateway/gatewaytest"
)

// root is the module's folder as seen from this one.
const root = "../.."

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }
