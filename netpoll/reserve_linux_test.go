package netpoll

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	refusal = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	refused = 400 // clients that the child turns away
)

func TestOutOfDescriptorsEveryClientIsAnswered(t *testing.T) {
	cmd := child(t, "reserve")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range refused / 8 {
				if err := expectRefusal(addr[:len(addr)-1]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
}

func expectRefusal(addr string) error {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		return err
	}
	got, err := io.ReadAll(nc)
	if err != nil || string(got) != refusal {
		return fmt.Errorf("the client received %q, %w", got, err)
	}
	return nil
}

// reserveChild uses up its descriptors and turns clients away on two listeners at once, with one reserve.
func reserveChild() error {
	// With the request there before the connection is accepted, every client can write it.
	listeners, err := Listen("127.0.0.1:0", 2, Options{})
	if err != nil {
		return err
	}
	for _, l := range listeners {
		if err := deferAccept(l, patience); err != nil {
			return err
		}
	}
	reserve, err := NewReserve()
	if err != nil {
		return err
	}
	soft, hard, err := DescriptorLimit()
	if err != nil {
		return err
	}
	taken, err := exhaust()
	if err != nil {
		return err
	}
	// The process may want to write its test coverage when it ends.
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: hard})
	fmt.Println(listeners[0].Addr())

	var answered atomic.Int64
	failed := make(chan error, len(listeners))
	end := time.Now().Add(patience)
	for _, l := range listeners {
		go func() { failed <- refuseAll(l, reserve, &answered, end) }()
	}
	if err := errors.Join(<-failed, <-failed); err != nil {
		return err
	}
	// One loop's Accept may have taken the descriptor that the other's Refuse had given up.
	if err := reserve.Refill(); err != nil {
		return fmt.Errorf("after the race: %w", err)
	}
	if _, err := unix.Eventfd(0, 0); err != unix.EMFILE {
		return fmt.Errorf("after the race and the refill: %v, want EMFILE: the spare must be the last descriptor", err)
	}
	return losesAndRecovers(reserve, listeners[0], taken)
}

// exhaust opens descriptors up to a low limit and returns one of them.
func exhaust() (int, error) {
	_, hard, err := DescriptorLimit()
	if err != nil {
		return 0, err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: hard}); err != nil {
		return 0, err
	}
	last := -1
	for {
		fd, err := unix.Eventfd(0, 0)
		if err == unix.EMFILE {
			return last, nil
		}
		if err != nil {
			return 0, err
		}
		last = fd
	}
}

// refuseAll is one loop's part, until all loops together have answered everybody.
func refuseAll(l *Listener, reserve *Reserve, answered *atomic.Int64, end time.Time) error {
	for answered.Load() < refused {
		if time.Now().After(end) {
			return fmt.Errorf("only %d answered", answered.Load())
		}
		if !pollReady(l.FD(), unix.POLLIN, 10*time.Millisecond) {
			continue
		}
		// The only descriptor that can be free here is the spare while the other loop has given it up.
		c, err := l.Accept()
		if err == nil {
			_, _ = c.Write([]byte(refusal))
			_ = c.CloseWrite()
			reserve.drain(c)
			answered.Add(1)
			_ = c.Close()
			continue
		}
		if !errors.Is(err, ErrNoDescriptors) || !errors.Is(err, unix.EMFILE) || Errno(err) != "EMFILE" {
			return fmt.Errorf("accept: %w, want ErrNoDescriptors and EMFILE", err)
		}
		switch err := reserve.Refuse(l, []byte(refusal)); {
		case err == nil:
			answered.Add(1)
		case err != ErrWouldBlock && !errors.Is(err, ErrNoDescriptors):
			return err
		}
	}
	return nil
}

// losesAndRecovers takes the spare away, as another goroutine can while a client is being refused.
func losesAndRecovers(reserve *Reserve, l *Listener, taken int) error {
	if err := reserve.release(); err != nil {
		return err
	}
	thief, err := unix.Eventfd(0, 0)
	if err != nil {
		return err
	}
	if err := reserve.Refuse(l, nil); !errors.Is(err, ErrNoDescriptors) {
		return fmt.Errorf("without its spare: %w, want ErrNoDescriptors", err)
	}
	if err := reserve.Refill(); !errors.Is(err, ErrNoDescriptors) || Errno(err) != "EMFILE" {
		return fmt.Errorf("refill: %w, want ErrNoDescriptors and EMFILE", err)
	}
	if err := unix.Close(thief); err != nil {
		return err
	}
	if err := reserve.Refuse(l, nil); err != ErrWouldBlock {
		return fmt.Errorf("with a descriptor free: %w, want ErrWouldBlock", err)
	}
	if reserve.spare < 0 {
		return errors.New("the spare was not opened again")
	}
	if err := unix.Close(taken); err != nil {
		return err
	}
	return reserve.Close()
}

func TestRefuseDrainsTheRequestSoThatNoResetFollows(t *testing.T) {
	l := mustListenDeferred(t, "127.0.0.1:0", patience)
	reserve, err := NewReserve()
	if err != nil {
		t.Fatal(err)
	}
	defer reserve.Close()
	if err := reserve.Refuse(l, nil); err != ErrWouldBlock {
		t.Fatalf("nobody waits: %v, want ErrWouldBlock", err)
	}
	client := dial(t, l)
	mustWrite(t, client, string(make([]byte, 10_000)))
	awaitReady(t, l.FD(), unix.POLLIN)
	if err := reserve.Refuse(l, []byte(refusal)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(client)
	if err != nil || string(got) != refusal {
		t.Fatalf("the client received %q, %v", got, err)
	}
	raw, err := client.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		if pending, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); pending != 0 || err != nil {
			t.Errorf("then the connection broke: %v, %v", unix.Errno(pending), err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneLoopAtATimeUsesTheReserve(t *testing.T) {
	reserve, err := NewReserve()
	if err != nil {
		t.Fatal(err)
	}
	reserve.mu.Lock()
	if err := reserve.Refuse(nil, nil); err != ErrNoDescriptors {
		t.Errorf("beside another loop: %v, want ErrNoDescriptors at once", err)
	}
	reserve.mu.Unlock()
	before := openDescriptors(t)
	for range 2 {
		if err := reserve.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := openDescriptors(t); after != before-2 { // the spare, and what it is replaced with
		t.Errorf("%d descriptors after Close, %d before", after, before)
	}
}
