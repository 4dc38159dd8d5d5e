package engine

import (
	"fmt"
	"maps"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/engine/transport"
	"sluice/gateway/engine/transport/transporttest"
	"sluice/gateway/gatewaytest"
)

// Whatever the owner panics at, and however often: that stream ends, nothing is
// left of it, and the others go on.
func TestNothingIsLeftOfWhateverTheOwnerPanicsAt(t *testing.T) {
	for _, m := range []transport.Maker{nil, &transporttest.Scrambler{Seed: 1}} {
		for _, panics := range []map[string]int{
			{"Came": 1}, {"Head": 1}, {"BadHead": 1}, {"Message": 1}, {"Due": 1}, {"Ending": 1}, {"Gone": 1},
			{"Came": 1, "Broken": 1}, {"Head": 1, "Gone": 1}, {"Message": 1, "Broken": 1}, {"Message": 1, "Gone": 1},
			{"Ending": 1, "Gone": 1}, {"Message": 1, "Broken": 1, "Gone": 1},
		} {
			t.Run(fmt.Sprint(panics, m != nil), func(t *testing.T) {
				o := openWith(t, 1, m, nil)
				other := o.enter(0)
				o.panics = maps.Clone(panics)
				for _, say := range []string{request("/in") + text("one") + text("two"), "\x16\x03\x01\x02\x00", request("/no")} {
					g := o.connect(0)
					g.Write(g.seal(say))
					o.pass(0)
					g.hear()
					g.Write(g.seal(control(ws.OpClose, "\x03\xe8")))
					o.pass(0)
					g.Close()
					o.pass(3 * Tick)
				}
				for name, n := range o.panics {
					if n > 0 {
						t.Errorf("%s has not panicked", name)
					}
				}
				other.say(text("meanwhile"))
				other.want(frame(ws.OpText, "meanwhile"))
				other.Close()
				o.pass(200 * Tick)
				if c := o.engines[0].Counts(); c != (Counts{}) {
					t.Errorf("%+v are left", c)
				}
				o.balanced()
				if n := o.world.Open(); n != len(o.doors) {
					t.Errorf("%d descriptors are open", n)
				}
				if used, pending := o.set.Budget.Used(), o.set.Pending.Load(); used != 0 || pending != 0 {
					t.Errorf("%d bytes are charged, %d are pending", used, pending)
				}
			})
		}
	}
}

// An owner may drop a stream whenever it hears of it.
func TestOwnerMayDropAStreamAtAnyTime(t *testing.T) {
	for _, m := range []transport.Maker{nil, &transporttest.Scrambler{Seed: 1}} {
		for _, callback := range []string{"Came", "Head", "BadHead", "Message", "Due"} {
			t.Run(fmt.Sprint(callback, m != nil), func(t *testing.T) {
				o := openWith(t, 1, m, nil)
				for _, say := range []string{request("/in") + text("one") + text("two"), "\x16\x03\x01\x02\x00"} {
					o.drops = callback
					g := o.connect(0)
					g.Write(g.seal(say))
					o.pass(0)
					g.Close()
					o.pass(3 * Tick)
				}
				o.pass(200 * Tick)
				o.balanced()
				if c := o.engines[0].Counts(); c != (Counts{}) || o.set.Budget.Used() != 0 || o.set.Pending.Load() != 0 {
					t.Errorf("%+v, %d bytes, and %d pending are left", c, o.set.Budget.Used(), o.set.Pending.Load())
				}
				if n := o.scrape().Sum("sluice_panics_total"); n != 0 {
					t.Errorf("%v panics", n)
				}
			})
		}
	}
}

// balanced holds the gauges against the streams.
func (o *inn) balanced() {
	o.t.Helper()
	queued, parked := 0, 0
	for _, e := range o.engines {
		e.All(func(s *Stream) {
			if queued += s.Queued(); s.Upgraded() && s.Holding() {
				parked++
			}
		})
	}
	scrape := o.scrape()
	for name, want := range map[string]int{"send_queue_bytes": queued, "parked_sessions": parked, "handshakes_in_flight": int(o.set.Pending.Load())} {
		if got := scrape.Sum("sluice_" + name); got != float64(want) {
			o.t.Errorf("sluice_%s is %v, want %d", name, got, want)
		}
	}
}

// scrape returns what was counted until now.
func (o *inn) scrape() gatewaytest.Scrape {
	for _, e := range o.engines {
		e.metrics.Publish()
	}
	all := prometheus.NewRegistry()
	all.MustRegister(o.set.Metrics)
	return gatewaytest.Gather(o.t, all)
}
