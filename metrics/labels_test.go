package metrics

import (
	"regexp"
	"testing"
)

func TestEveryValueHasItsOwnLabel(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for family, values := range map[string][]string{
		"reason":  labels(reasonCount),
		"result":  labels(resultCount),
		"scope":   labels(scopeCount),
		"drop":    labels(dropCount),
		"event":   labels(eventCount),
		"outcome": labels(outcomeCount),
		"auth":    labels(authFailureCount),
		"limit":   labels(limitCount),
		"bound":   labels(upstreamLimitCount),
	} {
		seen := make(map[string]bool)
		for i, v := range values {
			if !snake.MatchString(v) {
				t.Errorf("%s %d: label %q", family, i, v)
			}
			if seen[v] {
				t.Errorf("%s %d: label %q has another value already", family, i, v)
			}
			seen[v] = true
		}
	}
}

func TestOnlyThreeReasonsAreTheClients(t *testing.T) {
	for r := range reasonCount {
		want := "server"
		if r == ReasonClientClose || r == ReasonEOF || r == ReasonReset {
			want = "client"
		}
		if got := r.Initiator(); got != want {
			t.Errorf("%v: initiator %q, want %q", r, got, want)
		}
	}
}

func TestCloseCodesFoldIntoAClosedSet(t *testing.T) {
	for code, want := range map[uint16]string{
		0: "other", 999: "other", 1000: "1000", 1005: "1005", 1006: "1006", 1015: "1015", 1016: "other",
		2999: "other", 3000: "3xxx", 3999: "3xxx", 4000: "4xxx", 4999: "4xxx", 5000: "other", 65535: "other",
	} {
		if got := codeLabel(codeIndex(code)); got != want {
			t.Errorf("code %d: label %q, want %q", code, got, want)
		}
	}
}

func TestUnknownErrnoIsCountedAsOther(t *testing.T) {
	for errno, want := range map[string]string{"EMFILE": "EMFILE", "EPERM": "EPERM", "EINVAL": "other", "": "other"} {
		if got := errnoLabels[errnoIndex(errno)]; got != want {
			t.Errorf("errno %q: label %q, want %q", errno, got, want)
		}
	}
}

// labels are the label values of an enumeration.
func labels[T interface {
	~uint8
	String() string
}](count T) []string {
	all := make([]string, count)
	for i := range count {
		all[i] = i.String()
	}
	return all
}
