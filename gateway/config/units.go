package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Size is a number of bytes. Its text is a whole number with one of the units B,
// kB, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024), or
// none for bytes.
type Size int64

// The binary units.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// unit returns what one of the named unit is in bytes, or 0 for an unknown name.
func unit(name string) Size {
	switch name {
	case "", "B":
		return 1
	case "KiB":
		return KiB
	case "MiB":
		return MiB
	case "GiB":
		return GiB
	case "TiB":
		return TiB
	case "kB", "KB":
		return 1e3
	case "MB":
		return 1e6
	case "GB":
		return 1e9
	case "TB":
		return 1e12
	}
	return 0
}

// String prints the size as a whole number of the largest unit that divides it:
// 1536 is "1536", 2048 is "2KiB", 1000000 is "1MB".
func (s Size) String() string {
	if s != 0 {
		for _, name := range [...]string{"TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"} {
			if u := unit(name); s%u == 0 {
				return strconv.FormatInt(int64(s/u), 10) + name
			}
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes the form of [Size.String].
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML writes a size without a unit as a number, not as a quoted text.
func (s Size) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: s.String()}, nil
}

// UnmarshalText reads a size; negative and fractional ones are errors.
func (s *Size) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "BKMGTki")
	n, err := strconv.ParseUint(digits, 10, 63)
	u := unit(string(text[len(digits):]))
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && u != 0 && n > uint64(math.MaxInt64/u):
		return fmt.Errorf("%q is too large", text)
	case err != nil, u == 0:
		return fmt.Errorf("%q is no size; write bytes as 1048576, 64KiB or 1MiB", text)
	}
	*s = Size(n) * u
	return nil
}

// Duration is a time span whose text is that of [time.ParseDuration].
type Duration time.Duration

const second = Duration(time.Second)

// String prints the duration without trailing zero units: "1m", not "1m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes the form of [Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration; a number without a unit is an error unless it is 0.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration; write it as 500ms, 25s or 1h30m", text)
	}
	*d = Duration(v)
	return nil
}
