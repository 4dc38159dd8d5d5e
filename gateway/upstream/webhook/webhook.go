package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/name"
	"sluice/gateway/upstream"
)

// protocol is the upstream.Protocol of one hub.
type protocol struct {
	head    head
	consent *consent // nil: the backend is not asked for it
	client  *client

	requests sync.Pool // of *request
}

// Open makes the upstream of a hub whose URL begins with http:// or https://.
// It connects to nothing yet. The caller closes it.
func Open(o upstream.Options) (upstream.Upstream, error) {
	p, err := open(o)
	if err != nil {
		return nil, err
	}
	return upstream.NewDispatcher(p, o), nil
}

// open makes the protocol that the dispatcher of a hub speaks.
func open(o upstream.Options) (*protocol, error) {
	t, err := parseTarget(o.Config.URL, o.Hub)
	if err != nil {
		return nil, fmt.Errorf("upstream of hub %s: %w", o.Hub, err)
	}
	origin, err := originOf(o.Endpoint)
	if err != nil {
		return nil, err
	}
	p := &protocol{
		head: head{
			hub:     o.Hub,
			target:  t,
			common:  t.common(origin),
			id:      o.ID,
			signers: newSigners(o.Keys),
			repeats: o.Config.RepeatReset || o.Config.RepeatUnanswered,
			now:     time.Now,
		},
		client:   newClient(t, o.Config),
		requests: sync.Pool{New: func() any { return new(request) }},
	}
	if o.Config.Validate {
		p.consent = &consent{
			origin: origin,
			log:    o.Log.With("hub", o.Hub, "upstream", t.host),
			now:    time.Now,
		}
	}
	return p, nil
}

// Attempt delivers c once. Any goroutine.
func (p *protocol) Attempt(ctx context.Context, c *upstream.Call) (upstream.Reply, error) {
	if c.Type == upstream.Message && !name.Event(c.Name) {
		return upstream.Reply{}, refused("%.140q cannot be the name of an event", c.Name)
	}
	if p.consent != nil {
		if err := p.consent.wait(ctx, p.ask); err != nil {
			return upstream.Reply{}, err
		}
	}
	r := p.requests.Get().(*request)
	defer p.release(r)
	if err := p.head.event(r, c); err != nil {
		return upstream.Reply{}, refused("%w", err)
	}
	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	if err := p.client.do(ctx, r, resp); err != nil {
		return upstream.Reply{}, err
	}
	return readReply(c, resp)
}

// ask asks the backend by OPTIONS whether it wants events, for consent.
func (p *protocol) ask(ctx context.Context, resp *fasthttp.Response) error {
	r := p.requests.Get().(*request)
	defer p.release(r)
	p.head.question(r)
	err := p.client.do(ctx, r, resp)
	// The event behind the question has not left, whatever became of the
	// question.
	if f := (*upstream.Failure)(nil); errors.As(err, &f) && f.Kind == upstream.Unanswered {
		return unsent(fmt.Errorf("OPTIONS: %w", f.Err))
	}
	return err
}

func (p *protocol) release(r *request) {
	r.body = nil
	p.requests.Put(r)
}

// Close closes the connections. The goroutine with which fasthttp looks after
// idle ones finds none and ends within the time that they may rest.
func (p *protocol) Close() {
	p.client.pool.CloseIdleConnections()
	p.client.trial.close()
}

// unsent says that nobody has seen the event.
func unsent(err error) *upstream.Failure {
	return &upstream.Failure{Kind: upstream.Unsent, Err: err}
}

// unanswered says that the backend may have seen the event.
func unanswered(err error) *upstream.Failure {
	return &upstream.Failure{Kind: upstream.Unanswered, Err: err}
}

// refused says that the backend will not have the event, or has answered what
// the contract does not know.
func refused(format string, args ...any) *upstream.Failure {
	return &upstream.Failure{Kind: upstream.Refused, Err: fmt.Errorf(format, args...)}
}
