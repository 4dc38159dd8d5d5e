package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/gateway/config"
	"sluice/gateway/golden"
)

const chart = "helm/sluice/README.md"

// The chart's values hold the whole configuration: all of it is in its README.
func TestTheChartExplainsEveryKeyOfTheConfiguration(t *testing.T) {
	const begin, end = "<!-- reference: begin -->\n", "<!-- reference: end -->"
	text := read(t, chart)
	before, rest, _ := strings.Cut(text, begin)
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("no reference in %s", chart)
	}
	want := before + begin + config.Reference() + end + after
	if golden.Updating() {
		write(t, chart, want)
	} else if text != want {
		t.Errorf("the keys in %s are not those of the configuration: go test ./deploy -run EveryKey -update", chart)
	}
}

// keys are those of the configuration, with * for names that are chosen.
func keys() map[string]bool {
	known := map[string]bool{}
	chosen := regexp.MustCompile(`<\w+>`)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(config.Reference(), -1) {
		key := chosen.ReplaceAllString(m[1], "*")
		for ; key != ""; _, key, _ = strings.Cut(key, ".") { // upstream.url is hubs.*.upstream.url
			known[key] = true
		}
	}
	return known
}

func TestTheDocumentationNamesKeysThatExist(t *testing.T) {
	known := keys()
	mentioned := regexp.MustCompile("`((?:hubs\\.\\*|admin|drain|heartbeat|limits|upstream|breaker|log)\\.[a-z_.*]+)")
	seen := 0
	for _, page := range pages(t) {
		for _, m := range mentioned.FindAllStringSubmatch(read(t, page), -1) {
			if seen++; !known[m[1]] {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d keys are mentioned", seen)
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]*)?\)`)
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if m[2] != "" && !anchors(read(t, target))[m[2]] {
				t.Errorf("%s: no %s in %s", page, m[2], target)
			}
		}
	}
}

// anchors are those of a page's headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all["#"+strings.ReplaceAll(anchor, " ", "-")] = true
	}
	return all
}
