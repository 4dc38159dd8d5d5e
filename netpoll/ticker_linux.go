package netpoll

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Ticker is a timerfd(2) on the monotonic clock: the tick of a loop, as a descriptor in its poller.
type Ticker struct {
	fd int
}

// openTicker returns a ticker that does not tick yet. Its descriptor goes into the poller with In.
func openTicker() (*Ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &Ticker{fd: fd}, nil
}

// start has t tick every d, which must be positive.
func (t *Ticker) start(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("netpoll: ticker period %v is not positive", d)
	}
	period := unix.NsecToTimespec(int64(d))
	return os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(t.fd, 0, &unix.ItimerSpec{Interval: period, Value: period}, nil))
}

// FD returns the descriptor for [Poller.Add], or -1 after Close.
func (t *Ticker) FD() int { return t.fd }

// Expirations returns how many periods have ended since the last call, 0 if none, and makes the descriptor unready.
// More than one means that the loop was late.
func (t *Ticker) Expirations() uint64 {
	n, _ := readCounter(t.fd) // the only error is that there is nothing to read
	return n
}

// Close stops the ticker and frees the descriptor. It is idempotent.
func (t *Ticker) Close() error {
	if t.fd < 0 {
		return nil
	}
	fd := t.fd
	t.fd = -1
	return closeFD(fd)
}
