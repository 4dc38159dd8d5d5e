// Package notify tells the service manager how the process fares: that it is
// ready, reloads or stops, and again and again that it is alive. It speaks the
// protocol of sd_notify(3), which systemd and others understand: datagrams of
// VARIABLE=value lines to the socket that NOTIFY_SOCKET names.
//
// [Open] reads the environment. Where nobody listens it returns nil, and the
// methods of a nil [Supervisor] do nothing, so that a caller need not ask.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Supervisor is the service manager that started the process. Its methods may
// be called from any goroutine. Each sends datagrams and holds nothing open in
// between: a manager that was restarted is found again.
type Supervisor struct {
	socket   *net.UnixAddr
	watchdog time.Duration
}

// Open finds the service manager that the environment names: NOTIFY_SOCKET, a
// path or, behind an @, the name of an abstract socket (unix(7)), and
// WATCHDOG_USEC and WATCHDOG_PID (sd_watchdog_enabled(3)). getenv is os.Getenv,
// but for tests. Without NOTIFY_SOCKET the result is nil.
func Open(getenv func(string) string) (*Supervisor, error) {
	name := getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	if name[0] != '/' && name[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET=%q is neither a path nor an abstract socket", name)
	}
	watchdog, err := watchdogOf(getenv)
	if err != nil {
		return nil, err
	}
	return &Supervisor{&net.UnixAddr{Name: name, Net: "unixgram"}, watchdog}, nil
}

// watchdogOf returns how long the manager waits for a sign of life, 0 if it
// does not, or waits for one of another process.
func watchdogOf(getenv func(string) string) (time.Duration, error) {
	text := getenv("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	micros, err := strconv.ParseInt(text, 10, 64)
	if err != nil || micros <= 0 || micros > maxWatchdog.Microseconds() {
		return 0, fmt.Errorf("WATCHDOG_USEC=%q is no time in microseconds", text)
	}
	return time.Duration(micros) * time.Microsecond, nil
}

const maxWatchdog = 365 * 24 * time.Hour

// Ready says that the process serves: after its start, and after a reload.
func (s *Supervisor) Ready() error { return s.send("READY=1") }

// Reloading says that the process reads its configuration again. Ready ends
// it, whether or not the configuration was accepted.
func (s *Supervisor) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	return s.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that the process is on its way out.
func (s *Supervisor) Stopping() error { return s.send("STOPPING=1") }

// Watch sends a sign of life at once and then every half of the watchdog's
// time, until ctx ends. Before each it calls healthy, whose context ends when
// the next is due: while healthy blocks or returns an error nothing is sent, and
// before long the manager ends the process and starts another. Watch returns at
// once if there is no watchdog.
func (s *Supervisor) Watch(ctx context.Context, log *slog.Logger, healthy func(context.Context) error) {
	if s == nil || s.watchdog == 0 {
		return
	}
	signs := time.NewTicker(s.watchdog / 2)
	defer signs.Stop()
	for {
		if err := s.sign(ctx, healthy); err != nil && ctx.Err() == nil {
			log.Error("no sign of life for the watchdog", "err", err)
		}
		select {
		case <-signs.C:
		case <-ctx.Done():
			return
		}
	}
}

// sign sends one sign of life, if the process is healthy.
func (s *Supervisor) sign(ctx context.Context, healthy func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.watchdog/2)
	defer cancel()
	if err := healthy(ctx); err != nil {
		return err
	}
	return s.send("WATCHDOG=1")
}

// send sends one datagram. It waits while the manager's socket is full, but not
// for ever.
func (s *Supervisor) send(state string) error {
	if s == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, s.socket)
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return nil
}

// patience is how long a full socket of the manager is waited for.
const patience = 5 * time.Second
