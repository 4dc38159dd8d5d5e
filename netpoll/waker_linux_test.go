package netpoll

import (
	"sync"
	"testing"
)

func mustWaker(t testing.TB) *Waker {
	t.Helper()
	w, err := NewWaker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func TestNoWakeIsLost(t *testing.T) {
	const goroutines, each = 16, 2000
	p, w := mustPoller(t), mustWaker(t)
	var (
		mu      sync.Mutex
		mailbox int
		seen    int
	)
	done := make(chan struct{})
	mustAdd(t, p, w.FD(), In, func(Event) {
		w.Clear()
		mu.Lock()
		taken := mailbox
		mailbox = 0
		mu.Unlock()
		seen += taken
		if taken > 0 && seen == goroutines*each { // a last, late ring may find nothing
			close(done)
		}
	})
	var senders sync.WaitGroup
	for range goroutines {
		senders.Go(func() {
			for range each {
				mu.Lock()
				mailbox++
				mu.Unlock()
				w.Wake()
			}
		})
	}
	senders.Wait()
	await(t, done, "the last message")
}

func TestOneRingUntilClear(t *testing.T) {
	w := mustWaker(t)
	for round := range 3 {
		for range 100 {
			w.Wake()
		}
		if n, err := readCounter(w.FD()); n != 1 || err != nil {
			t.Fatalf("round %d: %d writes, %v; want 1", round, n, err)
		}
		w.Clear()
		if _, err := readCounter(w.FD()); err != ErrWouldBlock {
			t.Fatalf("round %d: after Clear: %v, want ErrWouldBlock", round, err)
		}
	}
}

func TestClearSilencesTheBell(t *testing.T) {
	w := mustWaker(t)
	w.Wake()
	w.Clear()
	if _, err := readCounter(w.FD()); err != ErrWouldBlock {
		t.Fatalf("after Clear: %v, want ErrWouldBlock", err)
	}
}

func TestWakerCloseIsIdempotent(t *testing.T) {
	w := mustWaker(t)
	before := openDescriptors(t)
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := openDescriptors(t); w.FD() != -1 || after != before-1 {
		t.Errorf("FD %d, %d descriptors, %d before", w.FD(), after, before)
	}
}
