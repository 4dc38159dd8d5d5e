package admin_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Every format that a scraper can ask for, at a node that has done something.
func TestMetricsAreStrictlyParsableInEveryFormat(t *testing.T) {
	n := start(t)
	n.connect("open", "")
	n.connect("backed", "").CloseNow()
	n.await("sluice_connections_closed_total", 1)
	for accept, parse := range map[string]func([]byte, string) error{
		"":                         decoded,
		"text/plain;version=0.0.4": decoded,
		"text/plain;version=1.0.0;escaping=allow-utf-8":                                                 decoded,
		"application/openmetrics-text;version=0.0.1":                                                    openMetrics,
		"application/openmetrics-text;version=1.0.0":                                                    openMetrics,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited":    decoded,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text":         nil,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text": nil,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.console.URL+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("sluice_connections")) {
			t.Fatalf("%q: %v, %v", accept, response.Status, err)
		}
		if parse == nil {
			continue // protobuf for people: no parser reads it
		}
		if err := parse(page, response.Header.Get("Content-Type")); err != nil {
			t.Errorf("%q: %v", accept, err)
		}
	}
}

// decoded reads a page as its Content-Type says.
func decoded(page []byte, contentType string) error {
	header := http.Header{"Content-Type": {contentType}}
	d := expfmt.NewDecoder(bytes.NewReader(page), expfmt.ResponseFormat(header))
	for families := 0; ; families++ {
		var f dto.MetricFamily
		switch err := d.Decode(&f); {
		case errors.Is(err, io.EOF) && families > 50:
			return nil
		case err != nil:
			return fmt.Errorf("after %d families: %w", families, err)
		}
	}
}

// suffixes are those of the samples of a family, by its type (OpenMetrics 1.0).
var suffixes = map[string][]string{
	"counter":   {"_total", "_created"},
	"gauge":     {""},
	"histogram": {"_bucket", "_count", "_sum", "_created"},
	"summary":   {"", "_count", "_sum", "_created"},
	"info":      {"_info"},
	"unknown":   {""},
}

var (
	openType   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (\w+)$`)
	openSample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*\})? (?:[-+]?[0-9.]+(?:e[-+]?[0-9]+)?|[-+]Inf|NaN)( # \{.*\} .*)?$`)
)

// openMetrics is strict about what the specification demands of names: each
// family is there once and together, has samples of its type's names, and none
// of these could be another family's.
func openMetrics(page []byte, _ string) error {
	body, ended := strings.CutSuffix(string(page), "# EOF\n")
	if !ended {
		return errors.New("no EOF")
	}
	owner := map[string]string{} // of every name that a sample, or a family, may have
	family, seen := "", map[string]bool{}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# HELP ") || strings.HasPrefix(line, "# UNIT ") {
			continue
		}
		if m := openType.FindStringSubmatch(line); m != nil {
			family = m[1]
			for _, suffix := range append([]string{""}, suffixes[m[2]]...) {
				name := family + suffix
				if o, taken := owner[name]; taken && o != family || suffix == "" && seen[family] {
					return fmt.Errorf("%s is of %s and of %s", name, o, family)
				}
				owner[name] = family
			}
			seen[family] = true
			continue
		}
		m := openSample.FindStringSubmatch(line)
		series := "a sample of " + line[:strings.LastIndex(line, " ")]
		switch {
		case m == nil:
			return fmt.Errorf("no sample: %s", line)
		case owner[m[1]] != family || seen[series]:
			return fmt.Errorf("out of place in %s: %s", family, line)
		}
		seen[series] = true
	}
	return nil
}

// What the test above rests on: a clash is found.
func TestAClashOfFamiliesIsFound(t *testing.T) {
	const gauge, counter = "# HELP a_bytes x\n# TYPE a_bytes gauge\na_bytes 1.0\n", "# TYPE a_bytes counter\na_bytes_total 2.0\n"
	for page, ok := range map[string]bool{
		gauge + "# EOF\n":              true,
		counter + "# EOF\n":            true,
		gauge + counter + "# EOF\n":    false,
		counter + gauge + "# EOF\n":    false,
		gauge:                          false,
		gauge + "a_bytes 1.0\n# EOF\n": false,
		"# TYPE a histogram\na_count 1\n# TYPE a_count gauge\na_count 1\n# EOF\n": false,
	} {
		if err := openMetrics([]byte(page), ""); (err == nil) != ok {
			t.Errorf("%v: %s", err, page)
		}
	}
}
