package metrics

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestHubIsTheSameForAllThatHaveIt(t *testing.T) {
	s := New(Options{Loops: 1})
	a, b := s.Hub("a"), s.Hub("b")
	if a == b || s.Hub("a") != a || a.Upstream() == b.Upstream() {
		t.Error("hubs and names do not go together")
	}
	a.Release()
	if s.Hub("a") != a {
		t.Error("a hub that somebody still has is another now")
	}
}

func TestHubsBeyondTheBoundAreCountedTogether(t *testing.T) {
	s := New(Options{Loops: 2})
	hubs := make(map[*Hub]bool)
	for i := range maxHubs {
		hubs[s.Hub(fmt.Sprint("hub", i))] = true
	}
	if len(hubs) != maxHubs {
		t.Fatalf("%d for %d hubs", len(hubs), maxHubs)
	}
	mustNotShow(t, scrape(t, s), `hub="other"`)
	var others []*Hub
	for i, name := range []string{"one more", "and another", "other"} {
		l, h := s.Loop(i%2), s.Hub(name)
		others = append(others, h)
		l.Sent(h, 1)
		l.Publish()
	}
	if !hubs[s.Hub("hub7")] {
		t.Error("a hub that was there is another now")
	}
	mustShow(t, scrape(t, s), `sluice_messages_sent_total{hub="other"} 3`)

	// The next one has the place of one that goes.
	s.Hub("hub8").Release()
	s.Hub("hub8").Release()
	for h := range hubs {
		if h.name == "hub8" {
			h.Release()
		}
	}
	if h := s.Hub("in its place"); h.name != "in its place" {
		t.Errorf("it is counted as %s", h.name)
	}
	others[0].Upstream().Retry()
	if others[1].Upstream() != others[2].Upstream() {
		t.Error("they do not share their upstream")
	}
}

func TestHubNameThatIsNotUTF8DoesNotBreakTheScrape(t *testing.T) {
	s := New(Options{Loops: 1})
	if h := s.Hub("a\xff"); s.Hub("a\xff") != h {
		t.Error("the name was added twice")
	}
	mustShow(t, scrape(t, s), "sluice_connections{hub=\"a\uFFFD\"} 0")
}

func TestUpstreamIsExportedWhereItCanMove(t *testing.T) {
	s := New(Options{Loops: 1})
	h := s.Hub("h")
	mustNotShow(t, scrape(t, s), "upstream")
	h.ExportUpstream(true)
	mustShow(t, scrape(t, s), `sluice_upstream_retries_total{hub="h"} 0`, `sluice_handshakes_total{hub="h",result="upstream"} 0`)
	h.ExportUpstream(false)
	mustNotShow(t, scrape(t, s), "upstream")
}

func TestSeriesOfARemovedHubStayForAWhileAfterItsLastConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Loops: 2})
		h, neighbour := s.Hub("gone"), s.Hub("stays")
		l := s.Loop(1)
		l.Opened(h)
		l.Opened(neighbour)
		l.Publish()
		h.Release()
		time.Sleep(10 * lingering)
		mustShow(t, scrape(t, s), `sluice_connections{hub="gone"} 1`)

		l.Closed(h, 1001, ReasonHubRemoved, time.Hour)
		mustShow(t, scrape(t, s), `sluice_connections{hub="gone"} 0`) // and the close a tick later
		l.Publish()
		const closed = `sluice_connections_closed_total{code="1001",hub="gone",initiator="server",reason="hub_removed"} 1`
		mustShow(t, scrape(t, s), closed)
		time.Sleep(lingering - time.Second)
		mustShow(t, scrape(t, s), closed)
		time.Sleep(time.Second)
		got := scrape(t, s)
		mustNotShow(t, got, `hub="gone"`)
		mustShow(t, got, `sluice_connections{hub="stays"} 1`)

		// Whoever still counts there does no harm.
		l.Dropped(h, DropClosing, 1)
		l.Publish()
		mustNotShow(t, scrape(t, s), `hub="gone"`)
	})
}

func TestHubThatComesBackInTimeGoesOnCounting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Loops: 1})
		h, l := s.Hub("h"), s.Loop(0)
		l.Sent(h, 1)
		l.Publish()
		h.Release()
		time.Sleep(lingering / 2)
		scrape(t, s)
		if s.Hub("h") != h {
			t.Fatal("it begins from zero")
		}
		time.Sleep(lingering)
		mustShow(t, scrape(t, s), `sluice_messages_sent_total{hub="h"} 1`)
	})
}

func TestHubThatWasNeverUsedDisappearsAtOnce(t *testing.T) {
	s := New(Options{Loops: 1})
	s.Hub("h").Release()
	mustNotShow(t, scrape(t, s), `"h"`)
}

// A reload that adds a hub, and one that removes it, over and over.
func TestHubsThatComeAndGoDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Loops: 4})
		pass := func(i int) {
			h, l := s.Hub(fmt.Sprint("hub", i)), s.Loop(i%4)
			l.Opened(h)
			l.Closed(h, 1000, ReasonClientClose, time.Second)
			l.Publish()
			h.Release()
		}
		for i := range maxLingering {
			pass(i)
		}
		before := heap()
		for i := range 10_000 {
			pass(maxLingering + i)
		}
		if n := len(s.hubs); n != maxLingering {
			t.Errorf("%d hubs", n)
		}
		// A hub costs some 7 KiB here: had they stayed, this were 70 MiB.
		if after := heap(); after > before+4<<20 {
			t.Errorf("%d bytes became %d", before, after)
		}
		mustShow(t, scrape(t, s), fmt.Sprintf(`sluice_connections{hub="hub%d"} 0`, 10_000+maxLingering-1))
		time.Sleep(lingering)
		mustNotShow(t, scrape(t, s), `hub="hub`)
	})
}

// heap is how many bytes are reachable.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMemoryOfAHubIsBounded(t *testing.T) {
	s := New(Options{Loops: 1})
	h, l := s.Hub("h"), s.Loop(0)
	before := heap()
	for range 2 {
		for r := range reasonCount {
			for code := range 5000 {
				l.Opened(h)
				l.Closed(h, uint16(code), r, time.Second)
			}
		}
		l.Publish()
	}
	if after := heap(); after > before+10<<10 {
		t.Errorf("%d bytes more", after-before)
	}
	runtime.KeepAlive(s)
}
