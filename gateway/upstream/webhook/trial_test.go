package webhook

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// onTrial returns how many connections p has on trial.
func onTrial(p *protocol) int {
	p.client.trial.mu.Lock()
	defer p.client.trial.mu.Unlock()
	return len(p.client.trial.resting)
}

func TestNoConnectionIsUsedAgainUntilOneWasSeenToRest(t *testing.T) {
	var connections, open atomic.Int32
	p := unknown(t, options(serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		connections.Add(1)
		open.Add(1)
		defer open.Add(-1)
		for readRequest(in) != nil {
			io.WriteString(c, noContent)
		}
	})))
	post := func(times int, want int32) {
		t.Helper()
		before := connections.Load()
		for range times {
			_, err := attempt(t, p, message("x"))
			wantNoError(t, err)
		}
		if n := connections.Load() - before; n != want {
			t.Errorf("%d events over %d new connections, want %d", times, n, want)
		}
	}
	post(trials+6, trials+6)
	if n := onTrial(p); n != trials {
		t.Errorf("%d connections are on trial, want %d", n, trials)
	}
	until(t, "the surplus is closed", func() bool { return open.Load() == trials })

	// The clock of the trial is put forward, and not that of the pool.
	p.client.trial.look(time.Now().Add(shortest))
	if got := p.client.trust.allows(0); got < shortest/2 {
		t.Fatalf("%v is allowed after one was seen to rest for a second", got)
	}
	post(20, 1)
	p.client.trial.look(time.Now().Add(p.client.trust.limit))
	if got := p.client.trust.allows(0); got != p.client.trust.limit || onTrial(p) != 0 {
		t.Errorf("%v is allowed, %d are on trial, although nothing is left to learn", got, onTrial(p))
	}
	post(20, 0)
}

// Nobody has to send for it, and no clock to be put forward.
func TestAConnectionOnTrialIsLookedAtInTime(t *testing.T) {
	p := unknown(t, options(answer(t, noContent)))
	_, err := attempt(t, p, message("x"))
	wantNoError(t, err)
	for give := time.Now().Add(time.Minute); p.client.trust.allows(0) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(give) {
			t.Fatal("never")
		}
	}
}

// What rests at a backend that ends it is never used, and tells when it was.
func TestTheEndOfAConnectionOnTrialIsLearned(t *testing.T) {
	p := unknown(t, options(once(t, noContent)))
	_, err := attempt(t, p, message("x"))
	wantNoError(t, err)
	c := p.client.trial.resting[0]
	until(t, "the end is seen", func() bool {
		p.client.trial.mu.Lock()
		defer p.client.trial.mu.Unlock()
		return c.socket == nil || !c.socket.Quiet()
	})
	p.client.trial.look(time.Now())
	if n := onTrial(p); n != 0 {
		t.Errorf("%d ended connections are on trial", n)
	}
	p.client.trust.lasted(time.Hour, 0, time.Now())
	if got := p.client.trust.allows(0); got != 0 {
		t.Errorf("%v is allowed right after an end", got)
	}
}

// One that ends at once among others that last speaks against all.
func TestOneEndAmongThoseOnTrialCounts(t *testing.T) {
	first := make(chan struct{})
	p := unknown(t, options(serveRaw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		for readRequest(in) != nil {
			io.WriteString(c, noContent)
			if n == 0 {
				<-first
				return
			}
		}
	})))
	for range trials {
		_, err := attempt(t, p, message("x"))
		wantNoError(t, err)
	}
	c := p.client.trial.resting[0]
	close(first)
	until(t, "the end is seen", func() bool {
		p.client.trial.mu.Lock()
		defer p.client.trial.mu.Unlock()
		return c.socket == nil || !c.socket.Quiet()
	})
	now := time.Now()
	p.client.trial.look(now)
	p.client.trial.look(now.Add(shortest))
	if got := p.client.trust.allows(0); got != 0 {
		t.Errorf("%v is allowed", got)
	}
	p.client.trial.look(now.Add(shortest + doubtTime))
	if got := p.client.trust.allows(0); got != p.client.trust.limit {
		t.Errorf("%v is allowed after the time of doubt, want the limit", got)
	}
}

func TestConnectionsOnTrialAreClosedWithTheUpstream(t *testing.T) {
	ended := make(chan struct{})
	p := unknown(t, options(serveRaw(t, func(_ int, c *net.TCPConn, in *bufio.Reader) {
		for readRequest(in) != nil {
			io.WriteString(c, noContent)
		}
		close(ended)
	})))
	_, err := attempt(t, p, message("x"))
	wantNoError(t, err)
	p.Close()
	<-ended
	if n := onTrial(p); n != 0 {
		t.Errorf("%d are on trial", n)
	}
}
