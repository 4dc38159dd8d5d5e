package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// backendClientMode is the argument that makes this program a bare HTTP client of the backend.
const backendClientMode = "backend-client"

// The libraries that a bare client is made with.
const (
	netHTTP    = "net/http"
	hostClient = "HostClient"
)

// A bareClient makes the POST of one event again and again. Its header is prepared once for all, so
// that what is measured is the POST and nothing else.
type bareClient struct {
	conns            int // requests at a time
	warmup, duration time.Duration
	post             func() error // any goroutine
	done             atomic.Int64
}

// runBareClient is a bare client's life in a process of its own: it reads the event from in and writes
// the Result to out.
func runBareClient(ctx context.Context, args []string, in io.Reader, out, stderr io.Writer) error {
	var c bareClient
	f := flag.NewFlagSet(backendClientMode, flag.ContinueOnError)
	f.SetOutput(stderr)
	library := f.String("library", netHTTP, "`what` to POST with")
	address := f.String("address", "", "`host:port` of the backend")
	f.IntVar(&c.conns, "conns", 1, "`number` of requests at a time")
	f.DurationVar(&c.warmup, "warmup", 0, "`time` of the same load before measuring")
	f.DurationVar(&c.duration, "duration", time.Second, "`time` to measure")
	if err := f.Parse(args); err != nil {
		return err
	}
	var e event
	if err := json.NewDecoder(in).Decode(&e); err != nil {
		return fmt.Errorf("the event to send: %w", err)
	}
	switch *library {
	case netHTTP:
		c.post = e.byNetHTTP(*address, c.conns)
	case hostClient:
		c.post = e.byHostClient(*address, c.conns)
	default:
		return fmt.Errorf("no client is made with %q", *library)
	}
	r, err := c.measure(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// byNetHTTP returns a function that delivers e by net/http.
func (e *event) byNetHTTP(address string, conns int) func() error {
	url := "http://" + address + e.Path
	client := http.Client{Transport: &http.Transport{
		MaxConnsPerHost:     conns, // as the gateway has
		MaxIdleConnsPerHost: conns,
		DisableCompression:  true, // the gateway asks for none, either
	}}
	return func() error {
		req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(e.Body))
		if err != nil {
			return err
		}
		req.Header = e.Header
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil {
			return err
		}
		return e.answered(resp.StatusCode, int(n))
	}
}

// byHostClient returns a function that delivers e by fasthttp.
func (e *event) byHostClient(address string, conns int) func() error {
	client := fasthttp.HostClient{Addr: address, MaxConns: conns}
	requests := sync.Pool{New: func() any {
		req := new(fasthttp.Request)
		req.SetRequestURI("http://" + address + e.Path)
		req.Header.SetMethod(http.MethodPost)
		for name, values := range e.Header {
			req.Header.Set(name, values[0])
		}
		req.SetBodyRaw(e.Body)
		return req
	}}
	return func() error {
		req := requests.Get().(*fasthttp.Request)
		defer requests.Put(req)
		resp := fasthttp.AcquireResponse()
		defer fasthttp.ReleaseResponse(resp)
		if err := client.Do(req, resp); err != nil {
			return err
		}
		return e.answered(resp.StatusCode(), len(resp.Body()))
	}
}

// answered says whether the backend gave the message back.
func (e *event) answered(status, length int) error {
	if status != http.StatusOK || length != len(e.Body) {
		return fmt.Errorf("a POST of %d bytes was answered %d with %d", len(e.Body), status, length)
	}
	return nil
}

// measure posts from so many goroutines, each its next when the last is answered.
func (c *bareClient) measure(ctx context.Context) (*Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var posting sync.WaitGroup
	defer func() {
		cancel(nil)
		posting.Wait()
	}()
	for range c.conns {
		posting.Go(func() { c.keepPosting(ctx, cancel) })
	}

	if err := sleep(ctx, c.warmup); err != nil {
		return nil, err
	}
	t, clock := newTally(), newClock()
	start, used, done := clock.now(), ownCPU(), c.done.Load()
	if err := sleep(ctx, c.duration); err != nil {
		return nil, err
	}
	t.Done = c.done.Load() - done
	cpu := ownCPU() - used
	t.Wall = time.Duration(clock.now() - start)
	r := &Result{Mode: "post", Connections: c.conns, Unit: "POST", Goroutines: runtime.NumGoroutine()}
	r.fill(t, cpu, 0)
	var err error
	r.Threads, err = server{[]int{os.Getpid()}}.threads()
	return r, err
}

// keepPosting posts until ctx ends. A failure ends it for all: under failures nothing is measured.
func (c *bareClient) keepPosting(ctx context.Context, cancel context.CancelCauseFunc) {
	for ctx.Err() == nil {
		if err := c.post(); err != nil {
			cancel(err)
			return
		}
		c.done.Add(1)
	}
}

// sleep lets d pass, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
