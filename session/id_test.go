package session

import (
	"encoding/base64"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func testKey() *IDKey { return NewIDKey([32]byte{1, 2, 3}) }

func drawRef(t *rapid.T) Ref {
	return Ref{
		Node:       rapid.Uint64().Draw(t, "node"),
		Loop:       rapid.Uint16().Draw(t, "loop"),
		Slot:       rapid.Uint32().Draw(t, "slot"),
		Generation: rapid.Uint32().Draw(t, "generation"),
	}
}

func TestIDIsPinned(t *testing.T) {
	// Ids outlive a process: backends keep them. A change of this text makes
	// every id in the world stale.
	ref := Ref{Node: 0x0102030405060708, Loop: 0x090a, Slot: 0x0b0c0d0e, Generation: 0x0f101112}
	const want = "AQIDBAUGBwgJCgsMDQ4PEBES4RMlhkYtRfqWD1Dm"
	if got := testKey().Encode(ref); got != want {
		t.Errorf("id %q, want %q", got, want)
	}
}

func TestIDDecodesToWhatItNames(t *testing.T) {
	k := testKey()
	rapid.Check(t, func(t *rapid.T) {
		ref := drawRef(t)
		id := k.Encode(ref)
		if len(id) != 40 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("id %q", id)
		}
		if got, ok := k.Decode(id); !ok || got != ref {
			t.Fatalf("%v came back as %v, %v", ref, got, ok)
		}
	})
}

func TestChangedIDIsRefused(t *testing.T) {
	k := testKey()
	rapid.Check(t, func(t *rapid.T) {
		id := []byte(k.Encode(drawRef(t)))
		i := rapid.IntRange(0, len(id)-1).Draw(t, "at")
		to := rapid.Byte().Draw(t, "to")
		if id[i] == to {
			t.Skip("no change")
		}
		id[i] = to
		if ref, ok := k.Decode(string(id)); ok {
			t.Fatalf("%q was taken for %v", id, ref)
		}
	})
}

func TestIDOfAnotherKeyIsRefused(t *testing.T) {
	id := NewIDKey([32]byte{9}).Encode(Ref{Slot: 1})
	if _, ok := testKey().Decode(id); ok {
		t.Error("taken")
	}
}

func TestOnlyTheCanonicalSpellingIsTaken(t *testing.T) {
	k := testKey()
	id := k.Encode(Ref{Node: ^uint64(0), Loop: 7, Slot: 8, Generation: 9}) // has 4 times '_'
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	std := base64.StdEncoding.EncodeToString(raw)
	if std == id {
		t.Fatal("the id has no character in which the alphabets differ")
	}
	for _, bad := range []string{
		"", std, id + "=", id + "\n", "\n" + id, id[:20] + "\n" + id[20:], id[:39], id + "A", id + id,
		id[:19] + "\r\n" + id[21:], strings.Repeat("\n", 40), " " + id[1:],
	} {
		if _, ok := k.Decode(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestIDKeyServesManyGoroutines(t *testing.T) {
	k := testKey()
	var wg sync.WaitGroup
	for loop := range uint16(4) {
		wg.Go(func() {
			for slot := range uint32(500) {
				ref := Ref{Loop: loop, Slot: slot}
				if got, ok := k.Decode(k.Encode(ref)); !ok || got != ref {
					t.Errorf("%v came back as %v, %v", ref, got, ok)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzDecodeID(f *testing.F) {
	k := testKey()
	id := k.Encode(Ref{Node: 1, Loop: 2, Slot: 3, Generation: 4})
	for _, seed := range []string{id, id[:39], id + "=", "", strings.Repeat("A", 40), "\r\n" + id[2:]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if ref, ok := k.Decode(id); ok && k.Encode(ref) != id {
			t.Errorf("%q was taken for %v, whose id is %q", id, ref, k.Encode(ref))
		}
	})
}

func BenchmarkEncodeID(b *testing.B) {
	k := testKey()
	b.ReportAllocs()
	for b.Loop() {
		k.Encode(Ref{Node: 1, Loop: 2, Slot: 3, Generation: 4})
	}
}

func BenchmarkDecodeID(b *testing.B) {
	k := testKey()
	id := k.Encode(Ref{Node: 1, Loop: 2, Slot: 3, Generation: 4})
	b.ReportAllocs()
	for b.Loop() {
		k.Decode(id)
	}
}
