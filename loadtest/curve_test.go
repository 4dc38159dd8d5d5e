package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/gateway/golden"
)

// exampleCurve is of two servers that were measured everywhere, and one that was not.
func exampleCurve(t *testing.T) *curve {
	t.Helper()
	v, err := parseSurvey([]string{"-peers", "sluice,gws,easygo", "-idle", "9900,900,4900,900"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c := v.blank(machine{"A Fine CPU", 2, "Linux 6.1", "go1.26", "abc1234", "2026-01-02"})
	for i := range v.idle {
		for _, us := range []float64{4, 4.1, 3.9} {
			c.Lines[0].Points[i].add(&Result{Mode: "sparse", ServerCPU: us})
			c.Lines[1].Points[i].add(&Result{Mode: "sparse", ServerCPU: (us + 0.2) * float64(i+2) / 2})
		}
		c.Lines[2].Points[i].Missing = "refused\nfor a reason & more"
	}
	c.Lines[0].Points[1].Results[2].Errors = map[string]int64{"unexpected EOF": 2}
	c.Lines[1].Points[2].Results[2].Generator.Verdict = "the generator sent 2.5 ms late at p99"
	c.Lines[2].Points[0].add(&Result{Mode: "sparse", ServerCPU: 8})
	return c
}

func TestCurveLooksAsExpected(t *testing.T) {
	var table, drawn bytes.Buffer
	c := exampleCurve(t)
	if err := errors.Join(c.writeMarkdown(&table), c.writeSVG(&drawn)); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/curve.md", table.Bytes())
	golden.Check(t, "testdata/curve.svg", drawn.Bytes())
	for d := xml.NewDecoder(&drawn); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestCurveIsSavedWithItsResults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "curve.json")
	if err := save(exampleCurve(t), file, ""); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c curve
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	last := c.Lines[1].Points[2]
	if c.Active != 100 || c.Rate != 10000 || last.Idle != 9900 || last.Median != 8.4 || len(last.Results) != 3 {
		t.Errorf("%s", b)
	}
}

func TestCurveOfNothingMeasuredIsDrawn(t *testing.T) {
	v, err := parseSurvey([]string{"-idle", "0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := v.blank(machine{}).writeSVG(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Errorf("no figures in\n%s", &b)
	}
}

func TestServerThatCannotHoldAllIsNotStarted(t *testing.T) {
	v, err := parseSurvey([]string{"-peers", "easygo"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.measure(t.Context(), t.TempDir(), v.contenders[0], 9900, newProgress(io.Discard))
	if err == nil || !strings.Contains(err.Error(), "it can hold 9500 connections") {
		t.Errorf("error %v", err)
	}
}

func TestGridHasRoundStepsAndFewLines(t *testing.T) {
	for most, want := range map[float64]float64{0: 1, 0.9: 0.2, 4.2: 1, 5: 1, 6.8: 2, 24.4: 5, 50.3: 20, 999: 200} {
		if got := gridStep(most); math.Abs(got/want-1) > 1e-9 {
			t.Errorf("up to %v in steps of %v, want %v", most, got, want)
		}
	}
}
