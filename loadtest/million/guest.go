package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Names in the guest's root directory.
const (
	initProgram    = "million"
	gatewayProgram = "sluice"
)

// guest is the life of the guest's init: what it has to say goes to the host, and then the machine is
// switched off. It returns only if it cannot speak; the kernel panics then.
func guest(ctx context.Context, conns int) error {
	out, err := os.OpenFile("/dev/tty1", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	send := json.NewEncoder(out)
	if err := live(ctx, conns, send); err != nil {
		if err := send.Encode(message{Error: err.Error()}); err != nil {
			return err
		}
	}
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func live(ctx context.Context, conns int, send *json.Encoder) error {
	if err := prepare(conns); err != nil {
		return err
	}
	r, err := experiment(ctx, newPlan(conns), func(format string, args ...any) {
		send.Encode(message{Progress: fmt.Sprintf(format, args...)})
	})
	if err != nil {
		return err
	}
	return send.Encode(message{Report: r})
}

// prepare makes the guest a machine that can hold so many connections, both ends of each.
func prepare(conns int) error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	files := uint64(2*conns + 10_000)
	for _, s := range []struct{ name, value string }{
		{"fs/nr_open", strconv.FormatUint(files, 10)},
		{"fs/file-max", strconv.FormatUint(files, 10)},
		{"net/ipv4/ip_local_port_range", "10000 65535"},
		{"net/ipv4/tcp_max_syn_backlog", "65535"},
		{"net/core/somaxconn", "65535"},
		{"net/core/netdev_max_backlog", "1000000"}, // what goes through loopback waits here
	} {
		if err := os.WriteFile("/proc/sys/"+s.name, []byte(s.value), 0); err != nil {
			return err
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}); err != nil {
		return fmt.Errorf("RLIMIT_NOFILE: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	return takeTurns()
}

// loopbackUp switches lo on, with the address that the kernel gives it (netdevice(7)).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return nil
}

// takeTurns has everything that shares the one processor run until it has nothing to do, or for a tenth of
// a second (SCHED_RR, sched(7)): the gateway and its clients, which inherit the policy, and the kernel's
// threads, one of which carries the packets between them. Otherwise they interrupt each other at each
// message and at each tick of the kernel's clock, and because that tick is also what it counts processor
// time by, the figures of one are then the other's.
func takeTurns() error {
	threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	if err != nil {
		return err
	}
	turns := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
	for _, t := range threads {
		tid, err := strconv.Atoi(filepath.Base(t))
		if err != nil {
			return err
		}
		if err := unix.SchedSetAttr(tid, &turns, 0); err != nil {
			return fmt.Errorf("sched_setattr: %w", err)
		}
	}
	return nil
}
