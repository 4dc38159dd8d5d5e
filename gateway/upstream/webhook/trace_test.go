package webhook

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"sluice/gateway/trace"
	"sluice/gateway/upstream"
)

func TestBackendIsToldOfTheTrace(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	headers := make(chan http.Header, 1)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		w.WriteHeader(http.StatusNoContent)
	})
	p := start(t, options(server.URL))
	c := message("hello")
	for _, want := range []string{"", parent} {
		c.Trace = trace.Parse([]byte(want), []byte("vendor=1"))
		if _, err := p.Attempt(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		h := <-headers
		state := ""
		if want != "" {
			state = "vendor=1"
		}
		if h.Get("Traceparent") != want || h.Get("Tracestate") != state {
			t.Errorf("told of %q and %q, want %q", h.Get("Traceparent"), h.Get("Tracestate"), want)
		}
	}
}

func TestAnswerOverTheLimitSaysSo(t *testing.T) {
	url := answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n")
	_, err := attempt(t, start(t, options(url)), message("x"))
	if !errors.Is(err, upstream.ErrTooLong) {
		t.Errorf("%v", err)
	}
}
