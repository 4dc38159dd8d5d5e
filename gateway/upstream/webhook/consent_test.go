package webhook

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/upstream"
)

// asked is a backend whose answer to OPTIONS can be changed, and which takes
// every event.
type asked struct {
	url       string
	questions atomic.Int32
	events    atomic.Int32
	consent   atomic.Value // of http.HandlerFunc
}

func newAsked(t *testing.T, consent http.HandlerFunc) *asked {
	a := new(asked)
	a.consent.Store(consent)
	a.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			a.events.Add(1)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		a.questions.Add(1)
		if r.Method != http.MethodOptions || r.URL.Path != "/chat/validate" ||
			r.Header.Get("WebHook-Request-Origin") != "ws.example.com" || r.Header.Get("ce-awpsversion") != "1.0" {
			t.Errorf("asked by %s %s with %v", r.Method, r.URL, r.Header)
		}
		a.consent.Load().(http.HandlerFunc)(w, r)
	}).URL + "/{hub}/{event}"
	return a
}

func allow(origins ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, o := range origins {
			w.Header().Add("WebHook-Allowed-Origin", o)
		}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
}

// clock is a time that a test turns on.
type clock struct{ now atomic.Int64 }

func (c *clock) add(d time.Duration) { c.now.Add(int64(d)) }
func (c *clock) time() time.Time     { return time.Unix(1_800_000_000, c.now.Load()) }

// startAsking opens a protocol that asks for consent, by a clock of its own.
func startAsking(t *testing.T, a *asked, log *bytes.Buffer) (*protocol, *clock) {
	o := options(a.url)
	o.Config.Validate = true
	if log != nil {
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	p, c := start(t, o), new(clock)
	p.consent.now = c.time
	return p, c
}

func TestConsentIsAskedForOnceAndAgainAfterAWhile(t *testing.T) {
	for _, origins := range [][]string{{"*"}, {"WS.example.com"}, {"a.example", "ws.example.com"}, {"a.example, *"}} {
		a := newAsked(t, allow(origins...))
		p, clock := startAsking(t, a, nil)
		for round := range 3 {
			for range 5 {
				_, err := attempt(t, p, message("x"))
				wantNoError(t, err)
			}
			if n := a.questions.Load(); int(n) != round+1 {
				t.Fatalf("%q: asked %d times in round %d", origins, n, round)
			}
			clock.add(consentTime)
		}
	}
}

func TestBackendsThatDoNotAllowEventsGetNone(t *testing.T) {
	for name, no := range map[string]http.HandlerFunc{
		"404": status(404), "405": status(405), "no header": status(200), "500": status(500),
		"another host":        allow("other.example"),
		"a 404 with a header": func(w http.ResponseWriter, r *http.Request) { allow("*")(w, r); w.WriteHeader(404) },
		"a redirect":          func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusPermanentRedirect) },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			a := newAsked(t, no)
			p, clock := startAsking(t, a, &log)
			for round := range 2 {
				for range 3 {
					_, err := attempt(t, p, message("x"))
					failed(t, err, upstream.Refused, "WebHook-Allowed-Origin: *")
				}
				if n := a.questions.Load(); int(n) != round+1 {
					t.Fatalf("asked %d times in round %d", n, round)
				}
				clock.add(refusalTime)
			}
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("%d lines in the log: %s", n, log.String())
			}
			a.consent.Store(allow("*"))
			_, err := attempt(t, p, message("x"))
			wantNoError(t, err)
			if !strings.Contains(log.String(), "allows events again") {
				t.Errorf("the log says %s", log.String())
			}
			if n := a.events.Load(); n != 1 {
				t.Errorf("%d events were sent", n)
			}
		})
	}
}

func TestABackendThatCannotAnswerTheQuestionIsAskedAgain(t *testing.T) {
	a := newAsked(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	p, clock := startAsking(t, a, nil)
	for range 2 {
		_, err := attempt(t, p, message("x"))
		if f := failed(t, err, upstream.Unsent, "503"); f.After != 2*time.Second {
			t.Errorf("After is %v", f.After)
		}
	}
	a.consent.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }))
	_, err := attempt(t, p, message("x"))
	failed(t, err, upstream.Unsent, "OPTIONS")
	a.consent.Store(allow("*"))
	_, err = attempt(t, p, message("x"))
	wantNoError(t, err)

	// A consent that cannot be renewed is not lost, but no event goes by it
	// while nobody is asking.
	clock.add(consentTime)
	a.consent.Store(status(504))
	_, err = attempt(t, p, message("x"))
	failed(t, err, upstream.Unsent, "504")
}

func TestOneQuestionIsEnoughForAll(t *testing.T) {
	release := make(chan struct{})
	a := newAsked(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		allow("*")(w, r)
	})
	p, clock := startAsking(t, a, nil)
	var waiting sync.WaitGroup
	for range 10 {
		waiting.Go(func() {
			if _, err := p.Attempt(context.Background(), message("x")); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "the question arrives", func() bool { return a.questions.Load() == 1 })

	// Who cannot wait for the answer has sent nothing.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := p.Attempt(ctx, message("x"))
	failed(t, err, upstream.Unsent, "deadline")
	if n := a.events.Load(); n != 0 {
		t.Errorf("%d events were sent before the answer", n)
	}
	close(release)
	waiting.Wait()
	if q, e := a.questions.Load(), a.events.Load(); q != 1 || e != 10 {
		t.Errorf("%d questions, %d events", q, e)
	}

	// While the consent is renewed, it is still good.
	hold := make(chan struct{})
	a.consent.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-hold; allow("*")(w, r) }))
	clock.add(consentTime)
	renewed := make(chan error)
	go func() {
		_, err := p.Attempt(context.Background(), message("x"))
		renewed <- err
	}()
	until(t, "the question arrives", func() bool { return a.questions.Load() == 2 })
	_, err = attempt(t, p, message("x"))
	wantNoError(t, err)
	close(hold)
	wantNoError(t, <-renewed)
}

func TestQuestionsThatFailFailAllWhoWait(t *testing.T) {
	release := make(chan struct{})
	a := newAsked(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		w.WriteHeader(http.StatusBadGateway)
	})
	p, _ := startAsking(t, a, nil)
	results := make(chan error, 5)
	for range cap(results) {
		go func() {
			_, err := p.Attempt(context.Background(), message("x"))
			results <- err
		}()
	}
	until(t, "the question arrives", func() bool { return a.questions.Load() > 0 })
	close(release)
	for range cap(results) {
		failed(t, <-results, upstream.Unsent, "502")
	}
	if n := a.events.Load(); n != 0 {
		t.Errorf("%d events were sent", n)
	}
}

func TestAQuestionThatPanicsIsAnswered(t *testing.T) {
	c := &consent{log: slog.New(slog.DiscardHandler), now: time.Now}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is swallowed")
			}
		}()
		c.wait(t.Context(), func(context.Context, *fasthttp.Response) error { panic("a bug") })
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := c.wait(ctx, func(context.Context, *fasthttp.Response) error { return unsent(errNoAnswer) })
	failed(t, err, upstream.Unsent, errNoAnswer.Error())
}
