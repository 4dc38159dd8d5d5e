package upstream

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/gateway/config"
	"sluice/metrics"
)

// A client that may have been accepted, and is not let in, must be told of as
// one that has gone: its verdict says so.
func TestVerdictSaysWhetherTheClientMayHaveBeenAccepted(t *testing.T) {
	refused := func(f Failure) *Failure { f.Kind, f.Err = Refused, errors.New("as the test wants it"); return &f }
	for name, c := range map[string]struct {
		repeat bool
		fails  []*Failure // one by one; then what says answer
		answer Verdict
		status int
		doubt  bool
	}{
		"not answered":                  {fails: []*Failure{failure(Unanswered)}, status: 503, doubt: true},
		"not delivered":                 {fails: slices.Repeat([]*Failure{failure(Unsent)}, 1000), status: 503},
		"a proxy gave up":               {fails: slices.Repeat([]*Failure{{Kind: Unsent, Doubt: true, Err: context.Canceled}}, 1000), status: 503, doubt: true},
		"nonsense":                      {fails: []*Failure{refused(Failure{Doubt: true})}, status: 502, doubt: true},
		"a redirect":                    {fails: []*Failure{refused(Failure{})}, status: 502},
		"broken":                        {fails: []*Failure{refused(Failure{Broken: true})}, status: 503},
		"not answered, then never more": {repeat: true, fails: append([]*Failure{failure(Unanswered)}, slices.Repeat([]*Failure{failure(Unsent)}, 1000)...), status: 503, doubt: true},
		"not answered, then refused":    {repeat: true, fails: []*Failure{failure(Unanswered)}, answer: Verdict{Status: 403}, status: 403, doubt: true},
		"not answered, then let in":     {repeat: true, fails: []*Failure{failure(Unanswered)}},
		"refused":                       {answer: Verdict{Status: 403}, status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := NewDispatcher(newBackend(func(_ context.Context, call *Call) (Reply, error) {
					if n := call.Attempt; n <= len(c.fails) {
						return Reply{}, c.fails[n-1]
					}
					v := c.answer
					return Reply{Verdict: &v}, nil
				}), options(patient, func(u *config.Upstream) { u.RepeatUnanswered = c.repeat }).Options)
				var l loop
				send(t, d, event(Connect, 1), &l)
				closeAll(t, d)
				if v := l.got()[0].Verdict; v.Status != c.status || v.Doubt != c.doubt {
					t.Errorf("got %+v, want status %d and doubt %v", v, c.status, c.doubt)
				}
			})
		})
	}
}

// A 429 with Retry-After is waited for, if the client waits as long, and passed
// on otherwise.
func TestRefusalForAWhileIsWaitedForOrPassedOn(t *testing.T) {
	for after, want := range map[time.Duration]int{0: 200, 2 * time.Second: 200, time.Minute: http.StatusTooManyRequests} {
		synctest.Test(t, func(t *testing.T) {
			o := options()
			d := NewDispatcher(newBackend(func(_ context.Context, c *Call) (Reply, error) {
				if c.Attempt == 1 {
					return Reply{}, &Failure{Kind: Unsent, After: after, Verdict: &Verdict{Status: 429}, Err: errors.New("429")}
				}
				return Reply{Verdict: new(Verdict)}, nil
			}), o.Options)
			var l loop
			began := time.Now()
			send(t, d, event(Connect, 1), &l)
			closeAll(t, d)
			got, took := l.got()[0], time.Since(began)
			if want == 429 && (got.Verdict.Status != 429 || took != 0) || want == 200 && (got.Verdict.Status != 0 || took < after) {
				t.Errorf("Retry-After of %v: %+v after %v", after, got.Verdict, took)
			}
			o.mustCount(t, 1, "requests_total", "connect", "ok")
		})
	}
}

// The backend answers 500 until it has come to itself: who is told at least
// once is told then, and what may have had effects is not repeated.
func TestABrokenBackendIsToldAgainOfBeginningsAndEnds(t *testing.T) {
	for typ, want := range map[Type]int{Connect: 1, Connected: 4, Message: 1, Disconnected: 4} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			o := options()
			d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
				if attempts++; attempts < 4 {
					return Reply{}, &Failure{Kind: Refused, Broken: true, Err: errors.New("500")}
				}
				return Reply{}, nil
			}), o.Options)
			var l loop
			send(t, d, event(typ, 1), &l)
			closeAll(t, d)
			if attempts != want {
				t.Errorf("%v: %d attempts, want %d", typ, attempts, want)
			}
		})
	}
}

// One that never comes to itself: the end is not told, and that is counted; the
// session that the backend was never told of is closed.
func TestABackendThatStaysBrokenLosesFarewells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		d := NewDispatcher(newBackend(func(context.Context, *Call) (Reply, error) {
			return Reply{}, &Failure{Kind: Refused, Broken: true, Err: errors.New("500")}
		}), o.Options)
		var l loop
		send(t, d, event(Disconnected, 1), &l)
		send(t, d, event(Connected, 2), &l)
		closeAll(t, d)
		mustAnswer(t, &l, metrics.OutcomeFailed, 1011, 0)
		o.mustCount(t, 1, "lost_total", "disconnected")
		o.mustCount(t, 1, "requests_total", "disconnected", "failed")
	})
}

// What met the end of a kept connection is repeated where the hub says so, and
// nothing else that may have been executed.
func TestStaleConnectionsAreRepeatedWhereTheHubSaysSo(t *testing.T) {
	for _, c := range []struct {
		repeat, stale bool
		attempts      int
	}{{true, true, 2}, {true, false, 1}, {false, true, 1}} {
		synctest.Test(t, func(t *testing.T) {
			var ids []string
			d := NewDispatcher(newBackend(func(_ context.Context, call *Call) (Reply, error) {
				if ids = append(ids, call.ID); len(ids) == 1 {
					return Reply{}, &Failure{Kind: Unanswered, Stale: c.stale, Err: errors.New("reset")}
				}
				return Reply{}, nil
			}), options(func(u *config.Upstream) { u.RepeatReset = c.repeat }).Options)
			var l loop
			send(t, d, message(1, "x"), &l)
			closeAll(t, d)
			if len(ids) != c.attempts || len(slices.Compact(ids)) != 1 {
				t.Errorf("%+v: attempts %q", c, ids)
			}
		})
	}
}
