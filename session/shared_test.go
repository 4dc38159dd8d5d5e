package session

import (
	"sync"
	"testing"
)

func TestSharedIsFreedOnceByTheLastReference(t *testing.T) {
	freed := 0
	frame := []byte("frame")
	s := NewShared(frame, func(b []byte) {
		freed++
		if &b[0] != &frame[0] {
			t.Error("other bytes were freed")
		}
	})
	s.Retain(2)
	s.Release()
	s.Release()
	if freed != 0 || string(s.Bytes()) != "frame" {
		t.Fatalf("freed %d times with a reference left", freed)
	}
	s.Release()
	if freed != 1 {
		t.Errorf("freed %d times", freed)
	}
}

func TestSharedWithoutFreeCanBeReleased(t *testing.T) {
	s := NewShared([]byte("frame"), nil)
	s.Retain(1)
	s.Release()
	s.Release()
	mustPanic(t, "Release", s.Release)
}

func TestSharedThatWasReleasedPanics(t *testing.T) {
	s := NewShared(nil, nil)
	s.Release()
	mustPanic(t, "Retain", func() { s.Retain(1) })
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

func TestSharedIsFreedOnceByManyGoroutines(t *testing.T) {
	const goroutines, each = 8, 500
	freed := 0
	s := NewShared([]byte("frame"), func([]byte) { freed++ })
	s.Retain(goroutines * each)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				_ = s.Bytes()[0]
				s.Release()
			}
		})
	}
	s.Release()
	wg.Wait()
	if freed != 1 {
		t.Errorf("freed %d times", freed)
	}
}

func BenchmarkSharedRetainRelease(b *testing.B) {
	s := NewShared([]byte("frame"), nil)
	b.ReportAllocs()
	for b.Loop() {
		s.Retain(1)
		s.Release()
	}
}
