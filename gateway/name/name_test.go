package name

import (
	"strings"
	"testing"
)

func TestNamesThatCannotBeAddressedAreRefused(t *testing.T) {
	for s, want := range map[string]error{
		"ann": nil, "jürgen": nil, "...": nil, ".a": nil, "a/..": nil, "%2e%2e": nil, " ": nil, "a\x00b": nil, strings.Repeat("x", Max): nil,
		"": errEmpty, ".": errDots, "..": errDots, "a\xff": errUTF8, strings.Repeat("x", Max+1): errLong,
	} {
		if got := Check(s); got != want {
			t.Errorf("%.20q: %v, want %v", s, got, want)
		}
	}
}
