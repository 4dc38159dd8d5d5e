package netpoll

import (
	"os"

	"golang.org/x/sys/unix"
)

// DescriptorLimit returns how many descriptors the process may have open (RLIMIT_NOFILE, getrlimit(2)), and how far it may
// raise that itself.
func DescriptorLimit() (soft, hard uint64, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, 0, os.NewSyscallError("getrlimit", err)
	}
	return limit.Cur, limit.Max, nil
}

// RaiseDescriptorLimit raises the limit as far as it goes without privilege, and returns the limit in force.
func RaiseDescriptorLimit() (now uint64, err error) {
	soft, hard, err := DescriptorLimit()
	if err != nil || soft == hard {
		return soft, err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: hard, Max: hard}); err != nil {
		return soft, os.NewSyscallError("setrlimit", err)
	}
	return hard, nil
}

const descriptorDir = "/proc/self/fd"

// OpenDescriptors returns how many descriptors the process has open (proc_pid_fd(5)).
func OpenDescriptors() (int, error) {
	// Since Linux 6.2 the size of the directory is the answer, which spares reading a million names.
	info, err := os.Stat(descriptorDir)
	if err != nil {
		return 0, err
	}
	if size := info.Size(); size > 0 {
		return int(size), nil
	}
	return listDescriptors()
}

// listDescriptors counts by reading the directory, and leaves out the descriptor that it reads through.
func listDescriptors() (int, error) {
	dir, err := os.Open(descriptorDir)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	return len(names) - 1, nil
}
