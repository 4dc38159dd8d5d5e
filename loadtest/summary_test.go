package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"sluice/gateway/golden"
)

func exampleSummary() *summary {
	c := &comparison{rounds: 3, duration: 2e9}
	c.modes, _ = chosen(modes(), "idle,echo,storm")
	s := newSummary(machine{"A Fine CPU", 2, "Linux 6.1", "go1.26", "abc1234", "2026-01-02"}, c)
	for _, v := range []float64{250, 260, 240} {
		s.add(&Result{Mode: "idle", Server: "sluice", Connections: 17500, Memory: &Memory{User: v}})
		s.add(&Result{Mode: "idle", Server: "gorilla", Connections: 18000, Memory: &Memory{User: 70 * v}})
		echo := Result{Mode: "echo", Unit: "message", Connections: 1000, Operations: 100, PerSecond: 4e5 / v}
		echo.Server, echo.ServerCPU = "sluice", v/100
		echo.Latency = &Percentiles{P50: v, P99: 10 * v}
		ours := echo
		s.add(&ours)
		echo.Server, echo.ServerCPU = "probe", v/110
		echo.Errors = map[string]int64{"unexpected EOF": 2}
		echo.Generator.Verdict = "the generator was busier than the server, which could do more a second"
		s.add(&echo)
	}
	s.missing("echo", "gws", errors.New("gws does not come up\nfor a reason & more"))
	s.missing("storm", "sluice", errors.New("refused"))
	return s
}

func TestSummaryLooksAsExpected(t *testing.T) {
	for name, write := range map[string]func(*summary, io.Writer) error{
		"summary.md":  (*summary).writeMarkdown,
		"summary.svg": (*summary).writeSVG,
	} {
		var got bytes.Buffer
		if err := write(exampleSummary(), &got); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/"+name, got.Bytes())
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	s := exampleSummary()
	s.Machine.CPU = `<"&'>`
	var b bytes.Buffer
	if err := s.writeSVG(&b); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(&b)
	bars := 0
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 1+4 { // the page, and whoever was measured
		t.Errorf("%d rectangles", bars)
	}
}

func TestSampleIsMedianMinMaxAndRatio(t *testing.T) {
	s := exampleSummary()
	_, ours := s.sample("idle", "sluice")
	_, theirs := s.sample("idle", "gorilla")
	if ours.Median != 250 || ours.Min != 240 || ours.Max != 260 || ours.Ratio != 1 || theirs.Ratio != 70 {
		t.Errorf("%+v, %+v", ours, theirs)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of four is %v", got)
	}
	series, _ := s.sample("echo", "probe")
	if series.Servers[0].Server != "probe" {
		t.Errorf("the best is not first but %s", series.Servers[0].Server)
	}
}

func TestEveryModeHasAHeadline(t *testing.T) {
	r := &Result{Memory: &Memory{}, Latency: &Percentiles{}}
	for _, m := range modes() {
		title, unit, value := headline(m.name)
		if title == "" || unit == "" || value(r) != 0 {
			t.Errorf("%s: %q in %q", m.name, title, unit)
		}
	}
}

func TestGeneratorAdmitsThatItWasTheLimit(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Result
		want string
	}{
		{"server busy", Result{ServerCores: 1, Generator: Generator{Processes: 1, Cores: 0.95}}, ""},
		{"generator busy", Result{ServerCores: 0.5, Generator: Generator{Processes: 1, Cores: 0.95}}, "busier"},
		{"half of two busy", Result{ServerCores: 0.5, Generator: Generator{Processes: 2, Cores: 0.95}}, ""},
		{"in time", Result{Lag: &Percentiles{P99: 50}, Generator: Generator{Processes: 1, Cores: 1}}, ""},
		{"late", Result{Lag: &Percentiles{P99: 2500}, Generator: Generator{Processes: 1}}, "2.5 ms late"},
	} {
		if got := tt.r.verdict(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestTimesArePrintedWithThreeDigits(t *testing.T) {
	for us, want := range map[float64]string{0.1234: "0.123 µs", 12.34: "12.3 µs", 1234: "1.23 ms", 2.5e6: "2.5 s"} {
		if got := micros(us); got != want {
			t.Errorf("%v: %q, want %q", us, got, want)
		}
	}
}

func TestCPUModelIsFound(t *testing.T) {
	if got := cpuModel("processor\t: 0\nmodel name\t: A Fine CPU: 3 GHz\nflags : fpu\n"); got != "A Fine CPU: 3 GHz" {
		t.Errorf("%q", got)
	}
	if got := cpuModel("processor : 0\n"); got != "unknown CPU" {
		t.Errorf("%q", got)
	}
}

func TestComparisonFitsTheServer(t *testing.T) {
	c, err := parseComparison([]string{"-peers", "easygo,gws", "-modes", "idle,ping,echo"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	idle, ping, echo := c.modes[0], c.modes[1], c.modes[2]
	easygo, gws := c.contenders[0], c.contenders[1]
	if s := c.settings(idle, gws); s.conns != 18000 || s.from != 6000 {
		t.Errorf("idle on gws: %d to %d", s.from, s.conns)
	}
	if s := c.settings(idle, easygo); s.conns != 9500 || s.from >= s.conns/2 {
		t.Errorf("idle on easygo, which needs two descriptors a connection: %d to %d", s.from, s.conns)
	}
	if s := c.settings(ping, gws); s.warmup < pingInterval {
		t.Errorf("pings are measured after %v, before every client had one", s.warmup)
	}
	if s := c.settings(echo, gws); s.duration != c.duration || s.push != pushWord || s.sources == 0 {
		t.Errorf("echo: %+v", s)
	}
}

func TestBroadcastIsMeasuredOnAServerThatHasOne(t *testing.T) {
	m, err := chosen(modes(), "broadcast,echo")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		who  string
		want [2]string
	}{
		{"sluice", [2]string{"sluice/loadtest/pushing", "sluice"}},
		{"gws", [2]string{"sluice/loadtest/peers", "sluice/loadtest/peers"}},
	} {
		who, err := chosen(contenders(), tt.who)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{who[0].program(m[0]), who[0].program(m[1])}; got != tt.want {
			t.Errorf("%s is %v", tt.who, got)
		}
	}
}
