package netpoll

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestRaiseDescriptorLimitGoesToTheHardLimit(t *testing.T) {
	soft, hard, err := DescriptorLimit()
	if err != nil {
		t.Fatal(err)
	}
	if soft == 0 || soft > hard {
		t.Fatalf("limits %d and %d", soft, hard)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: hard - 1, Max: hard}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if now, err := RaiseDescriptorLimit(); now != hard || err != nil {
			t.Errorf("RaiseDescriptorLimit: %d, %v; want %d", now, err, hard)
		}
	}
	if soft, _, err := DescriptorLimit(); soft != hard || err != nil {
		t.Errorf("the limit is %d, %v; want %d", soft, err, hard)
	}
}

func TestOpenDescriptorsCounts(t *testing.T) {
	listed, err := listDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	before := openDescriptors(t)
	if before != listed {
		t.Errorf("OpenDescriptors %d, the directory lists %d", before, listed)
	}
	for i := range 10 {
		mustWaker(t)
		if now := openDescriptors(t); now != before+i+1 {
			t.Fatalf("%d descriptors after %d more than %d", now, i+1, before)
		}
	}
}
