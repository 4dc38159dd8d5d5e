package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is the socket of a service manager.
type manager struct{ *net.UnixConn }

func listen(t *testing.T, name string) manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return manager{conn}
}

// next returns the next datagram.
func (m manager) next(t *testing.T) string {
	t.Helper()
	if err := m.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	n, err := m.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

// environment is a process's, from pairs of name and value.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func open(t *testing.T, pairs ...string) *Supervisor {
	t.Helper()
	s, err := Open(environment(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatesReachTheSocketThatTheEnvironmentNames(t *testing.T) {
	for kind, name := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@sluice-notify-%d", os.Getpid()),
	} {
		t.Run(kind, func(t *testing.T) {
			m := listen(t, name)
			s := open(t, "NOTIFY_SOCKET", name)
			for _, step := range []struct {
				want string
				send func() error
			}{{"READY=1", s.Ready}, {"STOPPING=1", s.Stopping}} {
				if err := step.send(); err != nil {
					t.Fatal(err)
				}
				if got := m.next(t); got != step.want {
					t.Errorf("%q, want %q", got, step.want)
				}
			}
		})
	}
}

func TestReloadingSaysWhenByTheMonotonicClock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	m := listen(t, name)
	before := monotonic(t)
	if err := open(t, "NOTIFY_SOCKET", name).Reloading(); err != nil {
		t.Fatal(err)
	}
	got, ok := strings.CutPrefix(m.next(t), "RELOADING=1\nMONOTONIC_USEC=")
	at, err := strconv.ParseInt(got, 10, 64)
	if !ok || err != nil || at < before || at > monotonic(t) {
		t.Errorf("MONOTONIC_USEC is %q (%v), and before it was %d", got, err, before)
	}
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

func TestAManagerThatWasRestartedIsFoundAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	first := listen(t, name)
	s := open(t, "NOTIFY_SOCKET", name)
	if err := s.Ready(); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); err == nil {
		t.Error("nobody listens, and nothing was said of it")
	}
	second := listen(t, name)
	if err := s.Stopping(); err != nil {
		t.Fatal(err)
	}
	if got := second.next(t); got != "STOPPING=1" {
		t.Errorf("%q", got)
	}
}

func TestWithoutAManagerNothingHappens(t *testing.T) {
	s, err := Open(environment("WATCHDOG_USEC", "1000"))
	if s != nil || err != nil {
		t.Fatalf("%v, %v", s, err)
	}
	if err := errors.Join(s.Ready(), s.Reloading(), s.Stopping()); err != nil {
		t.Error(err)
	}
	s.Watch(t.Context(), slog.New(slog.DiscardHandler), unasked(t))
}

func TestAWrongEnvironmentIsAnError(t *testing.T) {
	for _, pairs := range [][]string{
		{"NOTIFY_SOCKET", "notify"},
		{"NOTIFY_SOCKET", "vsock:2:1234"},
		{"NOTIFY_SOCKET", "/n", "WATCHDOG_USEC", "soon"},
		{"NOTIFY_SOCKET", "/n", "WATCHDOG_USEC", "0"},
		{"NOTIFY_SOCKET", "/n", "WATCHDOG_USEC", "-5"},
		{"NOTIFY_SOCKET", "/n", "WATCHDOG_USEC", "9223372036854775807"},
	} {
		if s, err := Open(environment(pairs...)); err == nil {
			t.Errorf("%q: %+v", pairs, s)
		}
	}
}

func TestTheWatchdogOfAnotherProcessIsNotFed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	s := open(t, "NOTIFY_SOCKET", name, "WATCHDOG_USEC", "1000", "WATCHDOG_PID", strconv.Itoa(os.Getpid()+1))
	s.Watch(t.Context(), slog.New(slog.DiscardHandler), unasked(t))
}

// unasked is the health of a process that nobody may ask for.
func unasked(t *testing.T) func(context.Context) error {
	return func(context.Context) error {
		t.Error("asked without a watchdog")
		return nil
	}
}

func TestSignsOfLifeAreSentOnlyWhileTheProcessIsHealthy(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	m := listen(t, name)
	s := open(t, "NOTIFY_SOCKET", name, "WATCHDOG_USEC", "20000", "WATCHDOG_PID", strconv.Itoa(os.Getpid()))

	ctx, cancel := context.WithCancel(t.Context())
	asked, answers, ended := make(chan context.Context), make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx, slog.New(slog.DiscardHandler), func(ctx context.Context) error {
			asked <- ctx
			return <-answers
		})
	}()

	<-asked
	answers <- nil
	if got := m.next(t); got != "WATCHDOG=1" {
		t.Errorf("%q", got)
	}

	stuck := <-asked // one that takes longer than it may is told so
	<-stuck.Done()
	answers <- stuck.Err()
	<-asked
	if err := s.Stopping(); err != nil { // is the next datagram: none came before it
		t.Fatal(err)
	}
	if got := m.next(t); got != "STOPPING=1" {
		t.Errorf("%q came from an unhealthy process", got)
	}

	answers <- nil // and all is well again
	if got := m.next(t); got != "WATCHDOG=1" {
		t.Errorf("%q", got)
	}
	cancel()
	for {
		select {
		case <-asked:
			answers <- nil
		case <-ended:
			return
		}
	}
}
