package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestMain lets this binary be the server that the tests start: the servers run until they are killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-kind" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs a server until the test ends and returns its URL.
func start(t *testing.T, kind string, ping time.Duration) (url string, process *os.Process) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(os.Args[0], "-kind", kind, "-listen", addr, "-ping", ping.String())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return "ws://" + addr + "/", cmd.Process
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-retry.C:
		}
	}
}

func dial(t *testing.T, ctx context.Context, url string, pinged func()) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		OnPingReceived: func(context.Context, []byte) bool {
			pinged()
			return true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func TestEveryKindDoesTheSameWork(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			url, process := start(t, k.name, 50*time.Millisecond)
			pings := make(chan struct{}, 1)
			pinged := func() {
				select {
				case pings <- struct{}{}:
				default:
				}
			}
			one, other := dial(t, ctx, url, pinged), dial(t, ctx, url, func() {})

			for _, size := range []int{1, 125, 126, 4000, 60_000} {
				for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
					if size == 60_000 && k.name == "probe" {
						continue // may come in several reads, which it is not made for
					}
					if err := echoes(ctx, one, kind, bytes.Repeat([]byte{'x'}, size)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := echoes(ctx, other, websocket.MessageText, []byte("here")); err != nil {
				t.Fatal(err) // afterwards it belongs to the crowd
			}

			if err := one.Write(ctx, websocket.MessageText, []byte("broadcast 300")); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*websocket.Conn{one, other} {
				if kind, b, err := c.Read(ctx); err != nil || kind != websocket.MessageText || len(b) != 300 {
					t.Fatalf("pushed: %v of %d bytes, %v", kind, len(b), err)
				}
			}

			reading := one.CloseRead(ctx)
			if err := one.Ping(reading); err != nil {
				t.Errorf("no pong: %v", err)
			}
			select {
			case <-pings:
			case <-ctx.Done():
				t.Error("never pinged")
			}

			if err := process.Signal(syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			if err := echoes(ctx, other, websocket.MessageText, []byte("still there")); err != nil {
				t.Error(err)
			}
			if err := other.Close(websocket.StatusNormalClosure, "bye"); err != nil {
				t.Errorf("closing handshake: %v", err)
			}
			if err := echoes(ctx, dial(t, ctx, url, func() {}), websocket.MessageText, []byte("next")); err != nil {
				t.Error(err)
			}
		})
	}
}

// echoes says whether the message comes back as it was.
func echoes(ctx context.Context, c *websocket.Conn, kind websocket.MessageType, message []byte) error {
	c.SetReadLimit(1 << 20)
	if err := c.Write(ctx, kind, message); err != nil {
		return err
	}
	gotKind, got, err := c.Read(ctx)
	if err != nil {
		return fmt.Errorf("echo of %d bytes: %w", len(message), err)
	}
	if gotKind != kind || !bytes.Equal(got, message) {
		return fmt.Errorf("%v of %d bytes came back as %v of %d", kind, len(message), gotKind, len(got))
	}
	return nil
}

func TestBroadcastTextIsAskedForWithItsSize(t *testing.T) {
	for message, want := range map[string]int{
		"broadcast 0": 0, "broadcast 128": 128, "broadcast 1048576": 1 << 20,
		"broadcast": -1, "broadcast ": -1, "broadcast -1": -1, "broadcast 1048577": -1,
		"broadcast 123456789": -1, "cast 12": -1, "": -1,
	} {
		text, ok := broadcastText([]byte(message))
		if got := len(text); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %d bytes, %v", message, got, ok)
		}
	}
}

func TestKindsAreListedAndCheckedBeforeListening(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-kind", "list"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds() {
		if !strings.Contains(out.String(), k.name+" ") {
			t.Errorf("%s is not listed", k.name)
		}
	}
	if err := run([]string{"-kind", "abacus"}, &out, &out); err == nil || !strings.Contains(err.Error(), `"abacus"`) {
		t.Errorf("error %v", err)
	}
}

func TestCrowdIsPingedOnceAnInterval(t *testing.T) {
	const members, interval = 200, 100 * time.Millisecond
	c := newCrowd[int]()
	for i := range members {
		c.join(i)
	}
	c.leave(7)
	if got := len(c.everybody()); got != members-1 {
		t.Fatalf("%d members", got)
	}
	// The pinging never ends, as in the servers, so it runs in a goroutine that blocks for good.
	seen, enough := make(map[int]int), make(chan struct{})
	go c.ping(interval, func(i int) {
		if seen[i]++; len(seen) == members-1 && seen[i] == 1 {
			close(enough)
			select {}
		}
	})
	<-enough
	for i, n := range seen {
		if n != 1 || i == 7 {
			t.Errorf("member %d was pinged %d times before all were once", i, n)
		}
	}
}
