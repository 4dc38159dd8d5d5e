package netpoll

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	easygo "github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

func mustPoller(t testing.TB) *Poller {
	t.Helper()
	p, err := NewPoller(func(err error) { t.Errorf("the loop died: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func mustAdd(t testing.TB, p *Poller, fd int, ev Event, cb func(Event)) {
	t.Helper()
	if err := p.Add(fd, ev, cb); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		switch err := p.Del(fd); {
		case err == nil:
			settle(t, p) // no callback runs any more
		case !errors.Is(err, easygo.ErrNotRegistered):
			t.Error(err)
		}
	})
}

func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: did not happen", what)
		panic("unreachable")
	}
}

// settle returns when the loop has run the callbacks of everything that was ready when settle was called: the kernel appends
// to its list of ready descriptors, and the loop works that list off in order.
func settle(t testing.TB, p *Poller) {
	t.Helper()
	w := mustWaker(t)
	done := make(chan struct{}, 1)
	mustAdd(t, p, w.FD(), In|Edge, func(Event) { done <- struct{}{} })
	w.Wake()
	await(t, done, "the loop's answer to a wake-up")
	if err := p.Del(w.FD()); err != nil {
		t.Fatal(err)
	}
}

func noEvent(t testing.TB, p *Poller, events <-chan Event) {
	t.Helper()
	settle(t, p)
	select {
	case ev := <-events:
		t.Fatalf("an event came that should not: %v", ev)
	default:
	}
}

func TestDataAndEndOfStreamAreOneEvent(t *testing.T) {
	p := mustPoller(t)
	server, client := connect(t)
	mustWrite(t, client, "last words")
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, server.FD(), unix.POLLRDHUP)

	events := make(chan Event, 8)
	mustAdd(t, p, server.FD(), In|ReadHup|Edge, func(ev Event) { events <- ev })
	if ev := await(t, events, "the event"); ev&(In|ReadHup) != In|ReadHup {
		t.Fatalf("event %v, want both In and ReadHup", ev)
	}

	buf := make([]byte, 64)
	if n, err := server.Read(buf); n != len("last words") || err != nil {
		t.Fatalf("Read: %d, %v; want a short read", n, err)
	}
	noEvent(t, p, events) // stopping at the short read would leave the connection open for ever
	if _, err := server.Read(buf); err != io.EOF {
		t.Fatalf("reading on: %v, want io.EOF", err)
	}
}

func TestModReportsAStillReadableSocketAgain(t *testing.T) {
	p := mustPoller(t)
	server, client := connect(t)
	events := make(chan Event, 8)
	mustAdd(t, p, server.FD(), In|Edge, func(ev Event) { events <- ev })
	mustWrite(t, client, "unread")
	await(t, events, "the first event")
	noEvent(t, p, events)
	for range 3 {
		if err := p.Mod(server.FD(), In|Edge); err != nil {
			t.Fatal(err)
		}
		if ev := await(t, events, "the event after Mod"); ev&In == 0 {
			t.Fatalf("event %v after Mod, want In", ev)
		}
		noEvent(t, p, events)
	}
}

func TestModIsSilentAboutADrainedSocket(t *testing.T) {
	p := mustPoller(t)
	server, _ := connect(t)
	events := make(chan Event, 8)
	mustAdd(t, p, server.FD(), In|Edge, func(ev Event) { events <- ev })
	if err := p.Mod(server.FD(), In|ReadHup|Edge); err != nil {
		t.Fatal(err)
	}
	noEvent(t, p, events)
}

func TestOutComesWhenTheReaderDrains(t *testing.T) {
	p := mustPoller(t)
	server, client := connect(t)
	const total = 16 << 20 // more than both socket buffers hold
	chunk := bytes.Repeat([]byte("x"), 64<<10)

	sent, full, failed := 0, make(chan struct{}, 1), make(chan error, 1)
	mustAdd(t, p, server.FD(), Out|Edge, func(Event) {
		for sent < total {
			n, err := server.Write(chunk[:min(len(chunk), total-sent)])
			sent += n
			if err == ErrWouldBlock {
				select {
				case full <- struct{}{}:
				default:
				}
				return // from here on only Out brings it back
			}
			if err != nil {
				failed <- err
				return
			}
		}
	})
	await(t, full, "a full socket")
	received, err := io.CopyN(io.Discard, client, total)
	if err != nil {
		t.Fatalf("after %d of %d bytes: %v", received, total, err)
	}
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
}

func TestHupIsReportedUnasked(t *testing.T) {
	p := mustPoller(t)
	server, client := connect(t)
	events := make(chan Event, 8)
	mustAdd(t, p, server.FD(), Edge, func(ev Event) { events <- ev })
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if ev := await(t, events, "the peer's reset"); ev&(Hup|Err) != Hup|Err {
		t.Fatalf("event %v, want Hup and Err", ev)
	}
}

// A callback must therefore know by itself whether its connection is still the one that it was registered for.
func TestACollectedEventRunsAfterDel(t *testing.T) {
	p := mustPoller(t)
	gate, entered := make(chan struct{}), make(chan struct{}, 1)
	blocker := mustWaker(t)
	mustAdd(t, p, blocker.FD(), In|Edge, func(Event) {
		entered <- struct{}{}
		<-gate
	})
	blocker.Wake()
	await(t, entered, "the blocking callback")

	// While the loop stands still both become ready, so that the next batch holds both.
	one, other := mustWaker(t), mustWaker(t)
	ran, deleted := make(chan string, 2), atomic.Bool{}
	for name, pair := range map[string][2]*Waker{"one": {one, other}, "other": {other, one}} {
		mustAdd(t, p, pair[0].FD(), In|Edge, func(Event) {
			if deleted.CompareAndSwap(false, true) {
				if err := p.Del(pair[1].FD()); err != nil {
					t.Error(err)
				}
			}
			ran <- name
		})
	}
	one.Wake()
	other.Wake()
	close(gate)
	first := await(t, ran, "the callback that deletes")
	if second := await(t, ran, "the callback that was deleted"); first == second {
		t.Fatalf("%s ran twice", first)
	}
}

func TestAFailedAddLeavesNothingBehind(t *testing.T) {
	p := mustPoller(t)
	plain, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for range 2 { // were the callback left behind, the second attempt would fail for another reason
		if err := p.Add(int(plain.Fd()), In, func(Event) {}); !errors.Is(err, unix.EPERM) {
			t.Fatalf("Add of a plain file: %v, want EPERM", err)
		}
	}
}

func TestASecondAddFailsAndKeepsTheFirst(t *testing.T) {
	p := mustPoller(t)
	w := mustWaker(t)
	rang := make(chan struct{}, 1)
	mustAdd(t, p, w.FD(), In|Edge, func(Event) { rang <- struct{}{} })
	if err := p.Add(w.FD(), In, func(Event) {}); !errors.Is(err, easygo.ErrRegistered) {
		t.Fatalf("second Add: %v, want %v", err, easygo.ErrRegistered)
	}
	w.Wake()
	await(t, rang, "the first registration's callback")
}

func TestPollerCloseIsIdempotentAndFinal(t *testing.T) {
	before := openDescriptors(t)
	p := mustPoller(t)
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors after Close, %d before", after, before)
	}
	w := mustWaker(t)
	if err := p.Add(w.FD(), In, func(Event) {}); !errors.Is(err, easygo.ErrClosed) {
		t.Errorf("Add after Close: %v, want %v", err, easygo.ErrClosed)
	}
}

func TestALoopThatCannotWaitIsFatal(t *testing.T) {
	before := epollDescriptors(t)
	died := make(chan error, 1)
	p, err := NewPoller(func(err error) { died <- err })
	if err != nil {
		t.Fatal(err)
	}
	w := mustWaker(t)
	if err := p.Add(w.FD(), In|Edge, func(Event) {}); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for fd := range epollDescriptors(t) {
		if !before[fd] {
			if err := unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.Wake() // ends the wait on the set that is gone
	if err := await(t, died, "the report"); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "epoll_wait") {
		t.Errorf("fatal(%v), want epoll_wait: EINVAL", err)
	}
	_ = p.Del(w.FD())
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func epollDescriptors(t *testing.T) map[int]bool {
	t.Helper()
	found := make(map[int]bool)
	for fd := range 1024 {
		link, err := os.Readlink(filepath.Join(descriptorDir, strconv.Itoa(fd)))
		if err == nil && strings.Contains(link, "eventpoll") {
			found[fd] = true
		}
	}
	return found
}
