package handshake

import (
	"errors"
	"testing"
)

// refusedAfter feeds p in two parts and returns after how many octets, and
// how, CheckPrefix refuses; -1 if it does not.
func refusedAfter(p []byte, first int) (int, error) {
	if err := CheckPrefix(p[:first], 0); err != nil {
		return first, err
	}
	if err := CheckPrefix(p, first); err != nil {
		return len(p), err
	}
	return -1, nil
}

func TestPrefixOfAGoodHeadIsWaitedFor(t *testing.T) {
	for _, head := range []string{smallHead, browserHead} {
		for n := range len(head) {
			for _, first := range []int{0, n / 2, max(n-1, 0), n} {
				if at, err := refusedAfter([]byte(head[:n]), first); err != nil {
					t.Fatalf("%q, of which %d octets came first: %v after %d", head[:n], first, err, at)
				}
			}
		}
	}
}

func TestPrefixThatCannotBecomeAHeadIsRefused(t *testing.T) {
	for p, want := range map[string]*Error{
		"\x16\x03\x01\x02\x00\x01": ErrTLS,
		"\n":                       ErrLineEnd,
		"\r\n\n":                   ErrLineEnd,
		"GET / HTTP/1.1\nHost":     ErrLineEnd,
		"GET / HTTP/1.1\r\nA: b\n": ErrLineEnd,
		"GET / HTTP/1.1\r\n\rA\n":  ErrLineEnd,
	} {
		for first := range len(p) + 1 {
			if _, err := refusedAfter([]byte(p), first); !errors.Is(err, want) {
				t.Errorf("%q, of which %d octets came first: %v, want %v", p, first, err, want)
			}
		}
	}
}
