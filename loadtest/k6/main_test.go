// Package k6_test runs the k6 scripts: against the built gateway, where they
// must succeed, and against servers with a fault, which they must find. k6 is
// the program that $K6 names, or the one in PATH.
package k6_test

import (
	"os"
	"testing"

	"sluice/gateway/gatewaytest"
)

func TestMain(m *testing.M) { os.Exit(gatewaytest.Main(m)) }
