package main

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestMergedTalliesEqualOneThatSawAll(t *testing.T) {
	whole, parts := newTally(), []*tally{newTally(), newTally(), newTally()}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		began, now := int64(0), r.Int64N(int64(time.Second))
		whole.complete(began, now)
		parts[i%3].complete(began, now)
		if i%100 == 0 {
			whole.fail("lost", 2)
			parts[i%3].fail("lost", 2)
		}
	}
	for _, p := range parts {
		p.Wall, p.CPU = time.Second, 300*time.Millisecond
	}
	sum := newTally()
	for _, p := range parts {
		sum.merge(overTheWire(t, p))
	}
	if sum.Done != whole.Done || !maps.Equal(sum.Errors, whole.Errors) {
		t.Errorf("%d done, %v; want %d, %v", sum.Done, sum.Errors, whole.Done, whole.Errors)
	}
	if got, want := *percentiles(&sum.Latency), *percentiles(&whole.Latency); got != want {
		t.Errorf("latency %v, want %v", got, want)
	}
	if sum.Wall != time.Second || sum.CPU != 900*time.Millisecond {
		t.Errorf("side by side: %v with %v of CPU", sum.Wall, sum.CPU)
	}
	sum.add(parts[0])
	if sum.Wall != 2*time.Second {
		t.Errorf("one after the other: %v", sum.Wall)
	}
	if want := max(parts[0].Last, parts[1].Last, parts[2].Last); sum.Last != want {
		t.Errorf("last at %d, want %d", sum.Last, want)
	}
}

// overTheWire returns what another process would make of p.
func overTheWire(t *testing.T, p *tally) *tally {
	t.Helper()
	b, err := json.Marshal(reply{Tally: p})
	if err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r.Tally
}

func TestHistogramKeepsThreeDigitsAndItsBounds(t *testing.T) {
	var h histogram
	if percentiles(&h) != nil {
		t.Error("nothing has percentiles")
	}
	h.record(-5)
	h.record(123_456_789)
	h.record(int64(time.Hour))
	if got := h.h.ValueAtQuantile(50); got < 123_300_000 || got > 123_700_000 {
		t.Errorf("median %d", got)
	}
	if got := h.h.Max(); got < longest || got > longest+longest/500 {
		t.Errorf("max %d", got)
	}
}

func TestPaceDoesNotWaitForAnybody(t *testing.T) {
	p := newPace(1000, 3e6) // every 333.3 ns
	for k := range int64(3_000_000) {
		if got, want := p.next(0), 1000+(k*1000+1)/3; got < want-1 || got > want+1 {
			t.Fatalf("the %d-th is due at %d, want %d", k, got, want)
		}
		p.taken()
	}
	if got := p.next(never); got != 1000+1e9 {
		t.Errorf("after a second's worth the next is due at %d", got)
	}
	free := newPace(1000, 0)
	free.taken()
	if got := free.next(77); got != 77 {
		t.Errorf("without a plan the next is due at %d, not now", got)
	}
}

func TestTargetIsWhatTheURLSays(t *testing.T) {
	tg, err := newTarget("ws://127.0.0.1:8080/chat?x=1", []string{"Origin: http://a.example"}, 3)
	if err != nil {
		t.Fatal(err)
	}
	request := string(tg.request)
	for _, want := range []string{"GET /chat?x=1 HTTP/1.1\r\n", "\r\nHost: 127.0.0.1:8080\r\n", "\r\nOrigin: http://a.example\r\n"} {
		if !strings.Contains(request, want) {
			t.Errorf("%q is missing in %q", want, request)
		}
	}
	if !strings.HasSuffix(request, "\r\n\r\n") || tg.address.String() != "127.0.0.1:8080" {
		t.Errorf("%q to %v", request, tg.address)
	}
	if nonce, err := base64.StdEncoding.DecodeString(webSocketKey); err != nil || len(nonce) != 16 {
		t.Errorf("a key of %d bytes, %v", len(nonce), err)
	}
}

func TestSourcesAreSpreadOverLoopbackOnly(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want bool
	}{
		{"ws://127.0.0.1:8080/", true},
		{"ws://[::1]:8080/", false},
		{"ws://192.0.2.1/", false},
	} {
		tg, err := newTarget(tt.url, nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		l := &loop{target: tg}
		if _, ok := l.nextSource(); ok != tt.want {
			t.Errorf("%s: %v", tt.url, ok)
		}
	}
}
