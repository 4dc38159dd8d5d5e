package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/upstream"
)

const (
	// consentTime is how long a backend's consent is good for.
	consentTime = 10 * time.Minute
	// refusalTime is how long a backend that has refused is not asked again.
	refusalTime = 10 * time.Second
)

// consent knows whether the backend wants events from here (CloudEvents HTTP
// 1.1 web hooks, section 4), and has it asked when that is not known. Any
// goroutine.
type consent struct {
	origin string
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	given   bool      // the last answer
	refusal error     // if it was no
	until   time.Time // when it is to be asked again
	asking  *question // under way, or nil
}

// question is one OPTIONS that any number of events wait for.
type question struct {
	done chan struct{} // closed when err is final
	err  error
}

var errNoAnswer = errors.New("OPTIONS was not answered")

// wait returns nil when events may be sent, and otherwise why not, as a
// *Failure. The first who has to know asks; while a consent is renewed, the
// others go on with the old one.
func (c *consent) wait(ctx context.Context, ask func(context.Context, *fasthttp.Response) error) error {
	c.mu.Lock()
	switch {
	case c.now().Before(c.until):
		defer c.mu.Unlock()
		return c.refusal
	case c.asking != nil && c.given:
		c.mu.Unlock()
		return nil
	case c.asking != nil:
		q := c.asking
		c.mu.Unlock()
		select {
		case <-q.done:
			return q.err
		case <-ctx.Done():
			return unsent(context.Cause(ctx))
		}
	}
	q := &question{done: make(chan struct{}), err: unsent(errNoAnswer)}
	c.asking = q
	c.mu.Unlock()
	defer c.settle(q) // also in a panic: others wait

	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	if q.err = ask(ctx, resp); q.err == nil {
		q.err = c.read(resp)
	}
	return q.err
}

// read returns nil if resp is consent.
func (c *consent) read(resp *fasthttp.Response) error {
	if status := resp.StatusCode(); notLookedAt(status) {
		return &upstream.Failure{
			Kind:  upstream.Unsent,
			After: retryAfter(resp, c.now()),
			Err:   fmt.Errorf("OPTIONS was answered %d", status),
		}
	}
	if good := resp.StatusCode()/100 == 2; good && allows(resp.Header.PeekAll("WebHook-Allowed-Origin"), c.origin) {
		return nil
	}
	f := refused("the backend does not allow events from here: OPTIONS with WebHook-Request-Origin: %s "+
		"was answered %d, and must be answered 200 with WebHook-Allowed-Origin: * or that host",
		c.origin, resp.StatusCode())
	f.Broken = resp.StatusCode()/100 == 5
	return f
}

// settle tells those who wait for q, and keeps the answer if it is the backend's.
func (c *consent) settle(q *question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f, _ := q.err.(*upstream.Failure); {
	case q.err == nil:
		if c.refusal != nil {
			c.log.Info("the backend allows events again")
		}
		c.given, c.refusal, c.until = true, nil, c.now().Add(consentTime)
	case f.Kind == upstream.Refused:
		if c.refusal == nil {
			c.log.Warn("no events are sent to a backend", "err", f.Err)
		}
		c.given, c.refusal, c.until = false, q.err, c.now().Add(refusalTime)
	}
	c.asking = nil
	close(q.done)
}
