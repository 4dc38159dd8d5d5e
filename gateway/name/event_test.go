package name

import (
	"strings"
	"testing"
)

func TestEventNames(t *testing.T) {
	for _, good := range []string{"a", "message", "order.placed", "-", "_", ".a", "a.", "A-1_b", strings.Repeat("x", 128)} {
		if !Event(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", ".", "..", "a..b", "a/b", "a b", "a\r\nb", "ü", "a%2e", "a?b", "{event}", strings.Repeat("x", 129)} {
		if Event(bad) {
			t.Errorf("%q is accepted", bad)
		}
	}
}
