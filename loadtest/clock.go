package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// A clock tells CLOCK_MONOTONIC in nanoseconds, which all processes of a machine agree on, at the
// price of reading Go's.
type clock struct {
	origin time.Time
	at     int64
}

func newClock() clock {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // cannot fail on Linux with a valid clock and address
	}
	return clock{time.Now(), ts.Nano()}
}

func (c clock) now() int64 { return c.at + int64(time.Since(c.origin)) }

// never is later than any time the clock shows.
const never = int64(1<<63 - 1)
