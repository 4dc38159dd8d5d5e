package config

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizesReadAndPrint(t *testing.T) {
	for text, want := range map[string]struct {
		size  Size
		print string
	}{
		"0": {0, "0"}, "0MiB": {0, "0"}, "1": {1, "1"}, "1B": {1, "1"}, "1536": {1536, "1536"},
		"1024": {KiB, "1KiB"}, "64KiB": {64 * KiB, "64KiB"}, "1MiB": {MiB, "1MiB"}, "1048576": {MiB, "1MiB"}, "1024MiB": {GiB, "1GiB"},
		"2TiB": {2 * TiB, "2TiB"}, "1kB": {1e3, "1kB"}, "1KB": {1e3, "1kB"}, "1MB": {1e6, "1MB"}, "5GB": {5e9, "5GB"}, "1TB": {1e12, "1TB"},
		"9223372036854775807": {math.MaxInt64, "9223372036854775807"},
	} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want.size || s.String() != want.print {
			t.Errorf("%s: %d %s, %v", text, int64(s), s, err)
		}
	}
	for _, text := range []string{"", "-1", "+1", "1.5MiB", "1 MiB", "MiB", "1M", "1Mi", "1mib", "1MBB", "1iB", "0x10", "1_000", "9223372036854775808", "8388608TiB", "99999999999999999999KiB"} {
		s := Size(7)
		if err := s.UnmarshalText([]byte(text)); err == nil || s != 7 {
			t.Errorf("%q: %d, %v", text, s, err)
		}
	}
}

func TestDurationsReadAndPrint(t *testing.T) {
	for text, want := range map[string]struct {
		duration time.Duration
		print    string
	}{
		"25s": {25 * time.Second, "25s"}, "60s": {time.Minute, "1m"}, "90s": {90 * time.Second, "1m30s"}, "60m": {time.Hour, "1h"},
		"1h0m5s": {time.Hour + 5*time.Second, "1h0m5s"}, "10m": {10 * time.Minute, "10m"}, "10h": {10 * time.Hour, "10h"}, "0": {0, "0s"}, "1.5s": {1500 * time.Millisecond, "1.5s"},
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want.duration || d.String() != want.print {
			t.Errorf("%s: %s, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "25", "s", "1d", "5 s"} {
		d := Duration(7)
		if err := d.UnmarshalText([]byte(text)); err == nil || d != 7 {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
}

func TestWhatUnitsPrintTheyRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factor := Size(rapid.SampledFrom([]int64{1, 1e3, 1e6, int64(KiB), int64(MiB)}).Draw(t, "factor"))
		s := Size(rapid.Int64Range(0, math.MaxInt64/int64(factor)).Draw(t, "size")) * factor
		var again Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Fatalf("%d prints %s, reads %d, %v", s, s, again, err)
		}
		d := Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "duration"))
		d -= d % Duration(rapid.SampledFrom([]time.Duration{1, time.Second, time.Minute, time.Hour}).Draw(t, "unit"))
		var read Duration
		if err := read.UnmarshalText([]byte(d.String())); err != nil || read != d {
			t.Fatalf("%d prints %s, reads %d, %v", d, d, read, err)
		}
	})
}
