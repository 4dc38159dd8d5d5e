package e2e_test

import (
	"os"
	"path/filepath"
	"testing"

	"sluice/gateway/gatewaytest"
)

// modules returns the folder of Node's packages: that of .ci/node, or of the
// folder that E2E_NODE_PATH names.
func modules(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("E2E_NODE_PATH")
	if folder == "" {
		folder = filepath.Join(root, ".ci", "node")
	}
	path, err := filepath.Abs(filepath.Join(folder, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		gatewaytest.Missing(t, "no packages of Node: npm ci --prefix .ci/node installs them")
	}
	return path
}
