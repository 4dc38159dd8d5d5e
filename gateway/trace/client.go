package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// client is an otlptrace.Client that sends spans by OTLP over HTTP
// (OpenTelemetry Protocol Specification, section OTLP/HTTP). The exporter that
// OpenTelemetry has for that links all of gRPC, half of this program again.
type client struct {
	url  string
	http http.Client

	ended  context.Context // when nothing is tried any more
	giveUp context.CancelFunc
}

func newClient(endpoint string) (*client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("trace: the endpoint is not an http or https URL")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	c := &client{url: u.String(), http: http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute},
		// Spans are for the collector that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	c.ended, c.giveUp = context.WithCancel(context.Background())
	return c, nil
}

// Start implements otlptrace.Client.
func (c *client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. What the collector has no room for
// is sent again until ctx ends, or giveUp is called.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ended, cancel)()
	// As a message, TracesData is what ExportTraceServiceRequest is, which comes
	// with a gRPC service.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		after, err := c.post(ctx, body)
		if err == nil || after < 0 {
			return err
		}
		select {
		case <-time.After(max(after, pause/2+rand.N(pause/2))):
		case <-ctx.Done():
			return err
		}
	}
}

// The pause behind an attempt doubles from the first to the last of these, and
// up to half of it is left out.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 4 * time.Second
)

// post sends body once. If that fails, after is how long the collector wants to
// be left alone at least, and negative if another attempt would fail, too.
func (c *client) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "sluice")
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, bare(err)
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 64<<10) // to use the connection again
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		after = time.Duration(min(max(seconds, 0), 3600)) * time.Second
	default:
		after = -1
	}
	return after, fmt.Errorf("the collector answers %s", resp.Status)
}

// bare is err without the URL, which may hold a password.
func bare(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
