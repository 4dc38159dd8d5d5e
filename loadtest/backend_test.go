package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway/golden"
)

// shortTrial is everything with few clients, for a moment, on the gateway as it is.
func shortTrial(t *testing.T) *backendTrial {
	t.Helper()
	dir, err := build(t.Context(), []contender{{name: sluice}}, []mode{sparse()}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &backendTrial{rounds: 1, duration: 100 * time.Millisecond, fraction: 20, dir: dir}
}

func TestEveryWayToTheBackendIsMeasured(t *testing.T) {
	trial := shortTrial(t)
	var stderr bytes.Buffer
	r, err := trial.run(t.Context(), newProgress(io.Discard), &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if stderr.Len() > 0 {
		t.Errorf("reported: %s", &stderr)
	}
	for _, v := range r.Rows {
		if len(v.Results) != 1 || !(v.Median > 0) || !(v.Ratio > 0) {
			t.Errorf("%s: %+v", v.Server, v)
			continue
		}
		one := v.Results[0]
		if one.Operations == 0 || len(one.Errors) > 0 {
			t.Errorf("%s: %+v", v.Server, one)
		}
		if counted := one.Goroutines > 0 && one.Threads > 0; counted != (one.Mode != "handshake") {
			t.Errorf("%s: %d goroutines, %d threads", v.Server, one.Goroutines, one.Threads)
		}
	}
	w := r.Waiting
	if w == nil {
		t.Fatal("nobody has waited")
	}
	if w.Clients <= 2*w.InFlight {
		t.Fatalf("%d clients are too few to see whether those who wait take goroutines", w.Clients)
	}
	if most := w.Before + w.InFlight + 10; w.Before == 0 || w.Goroutines <= w.Before || w.Goroutines > most {
		t.Errorf("%d goroutines before, and %d, at most %d, with %d clients that wait", w.Before, w.Goroutines, most, w.Clients)
	}
}

func TestBareClientsMakeThePostOfTheGateway(t *testing.T) {
	want := event{
		Path:   eventsPath + "?a=b",
		Header: http.Header{"Ce-Id": {"1"}, "Ce-Eventname": {"message"}, "Content-Type": {"text/plain"}, "User-Agent": {"sluice"}},
		Body:   []byte("hello"),
	}
	for _, library := range []string{netHTTP, hostClient} {
		got := make(observer, 1)
		backend := httptest.NewServer(got)
		trial := backendTrial{duration: 50 * time.Millisecond, address: backend.Listener.Addr().String(), event: want}
		r, err := trial.byBareClient(library)(t.Context(), newProgress(io.Discard))
		backend.Close()
		if err != nil {
			t.Fatalf("%s: %v", library, err)
		}
		if r.Operations == 0 || !(r.ServerCPU > 0) || r.Goroutines < inFlight || r.Threads == 0 {
			t.Errorf("%s: %+v", library, r)
		}
		e := <-got
		delete(e.Header, "Content-Length")
		if !reflect.DeepEqual(e, want) {
			t.Errorf("%s sent %+v, want %+v", library, e, want)
		}
	}
}

func TestBareClientMeasuresNothingUnderFailures(t *testing.T) {
	refused := errors.New("refused")
	var posts atomic.Int64
	c := bareClient{conns: 4, warmup: time.Hour, post: func() error {
		if posts.Add(1) > 100 {
			return refused
		}
		return nil
	}}
	if r, err := c.measure(t.Context()); !errors.Is(err, refused) {
		t.Errorf("%+v, error %v", r, err)
	}
	e := event{Body: []byte("hello")}
	for _, bad := range []struct{ status, length int }{{500, 5}, {200, 0}, {204, 0}} {
		if e.answered(bad.status, bad.length) == nil {
			t.Errorf("an answer %d of %d bytes is none to %q", bad.status, bad.length, e.Body)
		}
	}
}

func TestBareClientExplainsWhatItCannotDo(t *testing.T) {
	for _, tt := range []struct{ library, in, want string }{
		{"pigeon", "{}", `no client is made with "pigeon"`},
		{netHTTP, "", "the event to send: EOF"},
	} {
		err := runBareClient(t.Context(), []string{"-library", tt.library}, strings.NewReader(tt.in), io.Discard, io.Discard)
		if err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

func TestBackendAnswersAsTheContractSays(t *testing.T) {
	address, stop, err := startBackend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer stop()
	for _, tt := range []struct {
		method, path, kind string
		status             int
		body               string
	}{
		{http.MethodOptions, eventsPath, "", 200, ""},
		{http.MethodOptions, silencePath, "", 200, ""},
		{http.MethodPost, eventsPath, connectType, 204, ""},
		{http.MethodPost, eventsPath, "azure.webpubsub.user.message", 200, "hello"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+address+tt.path, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header["ce-type"] = []string{tt.kind}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || string(body) != tt.body {
			t.Errorf("%s %s %s: %d %q, %v", tt.method, tt.path, tt.kind, resp.StatusCode, body, err)
		}
		if consent := resp.Header.Get("WebHook-Allowed-Origin"); (consent == "*") != (tt.method == http.MethodOptions) {
			t.Errorf("%s %s: allowed origin %q", tt.method, tt.path, consent)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = request(ctx, http.MethodPost, "http://"+address+silencePath, nil, "hello")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an event that is not to be answered: %v", err)
	}
}

func TestNumbersAreFoundInPages(t *testing.T) {
	page := []byte("# HELP x y\nx{hub=\"default\"} 12\ngoroutine profile: total 345\n1 @ 0x1\n")
	for prefix, want := range map[string]int{`x{hub="default"} `: 12, "goroutine profile: total ": 345} {
		if n, err := number(page, prefix); n != want || err != nil {
			t.Errorf("%q: %d, %v", prefix, n, err)
		}
	}
	for _, prefix := range []string{"y ", "# HELP "} {
		if n, err := number(page, prefix); err == nil {
			t.Errorf("%q: %d", prefix, n)
		}
	}
}

func TestBackendReportLooksAsExpected(t *testing.T) {
	trial := &backendTrial{rounds: 2, duration: 2 * time.Second}
	r := newBackendReport(machine{"A Fine CPU", 2, "Linux 6.1", "go1.26", "abc1234", "2026-01-02"}, trial,
		[]way{{name: "POST"}, {name: "message"}, {name: "handshake"}})
	r.missing(2, errors.New("the gateway does not come up\nfor a reason"))
	for _, v := range []float64{20, 10} {
		r.add(1, &Result{Mode: "echo", Connections: 64, Operations: 5, PerSecond: 1e4, ServerCPU: v + 2, Goroutines: 70,
			Threads: 10, Latency: &Percentiles{P50: 10 * v, P99: 100 * v}, Errors: map[string]int64{"reset": 1}})
		r.add(0, &Result{Mode: "post", Connections: 64, Operations: 5, PerSecond: 1e4, ServerCPU: v, Goroutines: 195, Threads: 9})
	}
	r.missing(0, errors.New("only in one round"))
	r.Waiting = &Waiting{Clients: 5000, InFlight: 64, Before: 11, Goroutines: 76, Threads: 9}
	var got bytes.Buffer
	if err := r.writeMarkdown(&got); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/backend.md", got.Bytes())
}
