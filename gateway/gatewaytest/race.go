//go:build race

package gatewaytest

// Race reports whether the test has the race detector.
const Race = true
