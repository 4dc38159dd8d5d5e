package upstream

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"sluice/gateway/config"
	"sluice/metrics"
	"sluice/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a Protocol that does what a function says.
type backend struct {
	attempt func(ctx context.Context, c *Call) (Reply, error)
	closed  chan struct{}
}

func newBackend(attempt func(ctx context.Context, c *Call) (Reply, error)) *backend {
	return &backend{attempt, make(chan struct{})}
}

func (b *backend) Attempt(ctx context.Context, c *Call) (Reply, error) { return b.attempt(ctx, c) }
func (b *backend) Close()                                              { close(b.closed) }

// taken is a backend that takes all and says nothing.
func taken(context.Context, *Call) (Reply, error) { return Reply{}, nil }

// fails returns what a backend does that fails always.
func fails(k Kind) func(context.Context, *Call) (Reply, error) {
	return func(context.Context, *Call) (Reply, error) { return Reply{}, failure(k) }
}

// failure is a Failure of a kind; what is not answered has taken too long.
func failure(k Kind) *Failure {
	if k == Unanswered {
		return &Failure{Kind: k, Err: context.DeadlineExceeded}
	}
	return &Failure{Kind: k, Err: errors.New("as the test wants it")}
}

// answer is a Reply, to whom, and when.
type answer struct {
	to session.Ref
	Reply
	at time.Time
}

// loop is the Sink of the tests.
type loop struct {
	mu      sync.Mutex
	answers []answer
}

func (l *loop) Reply(to session.Ref, r Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, answer{to, r, time.Now()})
}

// got returns the answers so far.
func (l *loop) got() []answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers
}

// counted are Options whose metrics can be read.
type counted struct {
	Options
	set *metrics.Set
}

// options are the defaults, with a budget of 1 MiB for payloads and metrics of
// their own.
func options(change ...func(*config.Upstream)) counted {
	set := metrics.New(metrics.Options{Loops: 1})
	hub := set.Hub("chat")
	hub.ExportUpstream(true)
	o := Options{
		Hub:     "chat",
		Config:  config.DefaultUpstream("test:"),
		Budget:  session.NewBudget(1 << 20),
		Metrics: hub.Upstream(),
		Log:     slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&o.Config)
	}
	return counted{o, set}
}

// count is the sum of a metric of the upstream, over its series that have all
// of these label values.
func (c counted) count(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	return sum(c.scrape(t), name, labels...)
}

// scrape reads all metrics.
func (c counted) scrape(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c.set)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func sum(families []*dto.MetricFamily, name string, labels ...string) (sum float64) {
	for _, f := range families {
		if f.GetName() != "sluice_upstream_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			missing := len(labels)
			for _, pair := range m.GetLabel() {
				if slices.Contains(labels, pair.GetValue()) {
					missing--
				}
			}
			if missing == 0 {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// mustCount fails unless a metric has this value.
func (c counted) mustCount(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	if got := c.count(t, name, labels...); got != want {
		t.Errorf("%s%v is %v, want %v", name, labels, got, want)
	}
}

// goroutines is how many a dispatcher has, once all in the bubble rest.
func goroutines() (n int) {
	synctest.Wait()
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	for one := range strings.SplitSeq(string(all), "\n\n") {
		if strings.Contains(one, "upstream.(*Dispatcher)") {
			n++
		}
	}
	return n
}

// message is an event of a session that a slot stands for.
func message(slot int, payload string) *Event {
	return &Event{
		Type: Message, Hub: "chat", From: session.Ref{Slot: uint32(slot)},
		Name: "message", Op: ws.OpText, Data: []byte(payload),
	}
}

// event is one without a payload.
func event(t Type, slot int) *Event {
	return &Event{Type: t, Hub: "chat", From: session.Ref{Slot: uint32(slot)}}
}
