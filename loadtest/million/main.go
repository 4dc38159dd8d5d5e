// Command million holds a million WebSockets in one gateway process, on a machine that need not have
// the descriptors, the kernel settings or the addresses for them: it boots Linux as an ordinary process
// (user-mode Linux), whose own loopback, limits and memory accounting the run has to itself.
//
//	apt-get install user-mode-linux gcc libc6-dev
//	go run ./loadtest/million
//	go run ./loadtest/million -conns 5000
//
// A million take about 11 GiB of the host's memory, an hour, and root for one setting, which is put back
// afterwards: vm.max_map_count, because the guest's memory takes a mapping for each scattered
// page. Up to 8,000 connections need no root, and 5,000 take a minute.
//
// Inside, one process is the gateway, with the configuration of its defaults but for the limits that
// count connections and for deadlines that one slow processor would miss. The other is both init and the
// clients. In turn they
//
//   - connect, and stop now and then for a reading: the gateway's private memory after a garbage
//     collection (smaps_rollup), the kernel's slabs and TCP buffers, and what is still available;
//   - exchange a message of 128 bytes on each connection, and go on with that until memory has been read
//     under this load, without a garbage collection before;
//   - have one of 128 bytes pushed to all of them, through the data plane;
//   - have the heartbeat's interval shortened by SIGHUP and, when it is in force for all, go through two
//     more pings and pongs each;
//   - drain: SIGTERM, a Close frame to each client and its answer, until the gateway has ended.
//
// It fails if a connection is lost on the way, or if a connection costs the gateway over 10 % more memory,
// when all are there and have talked, than between 6,000 and 18,000.
//
// # Reading the figures
//
// "Resident" is what the kernel says of the gateway's process, its program included: idle, and under its echo
// load. User memory is the gateway's and is what it would be anywhere. "Spare" is what its Go runtime has freed
// and will give back to the kernel, and is not counted as a connection's. The kernel's memory is for both ends of a
// connection, as the clients' sockets are here, too: a server has half of it.
//
// Processor time is inflated, because a system call costs user-mode Linux some ten microseconds. It is
// counted in ticks of 10 ms, so that it means little below some tens of thousands of operations, and it
// includes what other work on the host takes from the guest. Compare it between runs of this command on an
// idle machine; "go run ./loadtest compare" says what things cost on a real kernel.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "million:", err)
		os.Exit(1)
	}
}

// guestMode is the argument with which the guest's kernel starts this command as its init.
const guestMode = "guest"

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	inside := len(args) > 0 && args[0] == guestMode
	if inside {
		args = args[1:]
	}
	f := flag.NewFlagSet("million", flag.ContinueOnError)
	f.SetOutput(stderr)
	conns := f.Int("conns", 1_000_000, "`number` of connections to hold")
	memory := f.Int("mem", 0, "`MiB` of memory of the guest; 0: what the connections need")
	if inside {
		// The kernel adds words of its own to what init is given, behind ours.
		if err := f.Parse(args); err != nil {
			return err
		}
		return guest(ctx, *conns)
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if *conns < 1 || *conns > mostConns {
		return fmt.Errorf("-conns must be from 1 to %d", mostConns)
	}
	if *memory == 0 {
		*memory = guestMemory(*conns)
	}
	r, err := host(ctx, *conns, *memory, stderr)
	if err != nil {
		return err
	}
	if err := r.write(stdout); err != nil {
		return err
	}
	return r.verdict()
}

// guestMemory is what a guest needs to hold the connections, in MiB.
func guestMemory(conns int) int { return 1024 + conns*12/1000 }
