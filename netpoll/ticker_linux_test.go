package netpoll

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func mustTicker(t testing.TB, d time.Duration) *Ticker {
	t.Helper()
	ticker, err := openTicker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ticker.Close() })
	if err := ticker.start(d); err != nil {
		t.Fatal(err)
	}
	return ticker
}

func TestTickerTicksInPeriods(t *testing.T) {
	const period, ticks = 2 * time.Millisecond, 10
	start := time.Now()
	ticker := mustTicker(t, period)
	var expired uint64
	for expired < ticks {
		awaitReady(t, ticker.FD(), unix.POLLIN)
		n := ticker.Expirations()
		if n == 0 {
			t.Fatal("ready, but nothing expired")
		}
		expired += n
	}
	if took, least := time.Since(start), time.Duration(expired)*period; took < least {
		t.Errorf("%d periods of %v in %v", expired, period, took)
	}
}

func TestTickerIsSilentBetweenTicks(t *testing.T) {
	ticker := mustTicker(t, time.Hour)
	if n := ticker.Expirations(); n != 0 {
		t.Errorf("%d periods of an hour have ended", n)
	}
}

func TestTickerNeedsAPeriod(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second} {
		if err := mustTicker(t, time.Hour).start(d); err == nil {
			t.Errorf("it starts with a period of %v; it would never tick", d)
		}
	}
}

func TestTickerCloseIsIdempotent(t *testing.T) {
	ticker := mustTicker(t, time.Hour)
	for range 2 {
		if err := ticker.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if ticker.FD() != -1 {
		t.Errorf("FD %d after Close", ticker.FD())
	}
}
