package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sluice/gateway/golden"
)

// example is the report of a run in which a connection costs the gateway each bytes above the reference.
func example(each int64) *report {
	r := &report{
		Machine: "a fine machine",
		Stages: []stage{
			{Name: "connect", Ops: 100_000, Wall: 33_300 * time.Millisecond, CPU: 16_070 * time.Millisecond},
			{Name: "nothing", Wall: time.Second},
		},
	}
	for _, conns := range []int64{0, 6_000, 18_000, 100_000} {
		s := sample{
			Conns:     int(conns),
			Private:   12<<20 + 250*conns,
			Resident:  13<<20 + 250*conns,
			Kernel:    5<<20 + 7_800*conns,
			Available: 2<<30 - 8_000*conns,
		}
		if conns > 0 {
			s.Private += 2 << 20 // what the first connections wake
		}
		if conns > 18_000 {
			s.Private += (each - 250) * (conns - 6_000)
		}
		r.Samples = append(r.Samples, s)
	}
	r.Samples[0].When = "before"
	loaded, last := r.Samples[3], r.Samples[3]
	loaded.When, last.When = "under echo load", "after messages and pings"
	loaded.Private += 3 << 20
	loaded.Resident += 3 << 20
	loaded.Spare = 1 << 20
	r.Samples = append(r.Samples, loaded, last)
	r.Samples[2].Private += 1 << 20
	r.Samples[2].Spare = 1 << 20
	return r
}

func TestReportLooksAsExpected(t *testing.T) {
	var got bytes.Buffer
	if err := example(250).write(&got); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/report.txt", got.Bytes())
}

func TestVerdictHoldsCostAgainstTheReference(t *testing.T) {
	lost := example(250)
	lost.Lost, lost.Why = 3, "a whim"
	few := example(250)
	few.Samples = few.Samples[:3]
	for _, tt := range []struct {
		name   string
		report *report
		want   string // "": no error
	}{
		{"the same", example(250), ""},
		{"a little more", example(274), ""},
		{"much less", example(100), ""},
		{"much more", example(276), "over 10 % more than with 18000 of them"},
		{"nothing beyond the reference", few, ""},
		{"lost connections", lost, "3 connections were lost, the first because of: a whim"},
	} {
		err := tt.report.verdict()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestHostHearsWhatTheGuestSays(t *testing.T) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.Encode(message{Progress: "7 connected"})
	enc.Encode(message{Report: &report{Lost: 1, Samples: []sample{{When: "under echo load", Resident: 99}}}})
	// The guest's terminal ends lines as terminals do.
	said := strings.ReplaceAll(line.String(), "\n", "\r\n")

	var progress strings.Builder
	h := listen(strings.NewReader(said), &progress)
	if h.err != nil || h.report == nil || h.report.Lost != 1 || len(h.report.Samples) != 1 || h.report.Samples[0].Resident != 99 || progress.String() != "7 connected\n" {
		t.Errorf("heard %+v and %q", h, progress.String())
	}
	h = listen(strings.NewReader(`{"Error":"no room"}`), &progress)
	if h.err == nil || h.err.Error() != "no room" || h.report != nil {
		t.Errorf("heard %+v, want the guest's error", h)
	}
	if h = listen(strings.NewReader("{\"Prog"), &progress); h.err == nil {
		t.Error("half a message passed for a whole one")
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var console tail
	for range 10_000 {
		console.Write([]byte("boring\n"))
	}
	console.Write([]byte("panic"))
	if s := console.String(); len(s) != 8<<10 || !strings.HasSuffix(s, "boring\npanic") {
		t.Errorf("kept %d bytes that end in %q", len(s), s[max(0, len(s)-20):])
	}
}
