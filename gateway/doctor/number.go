package doctor

import (
	"fmt"
	"math"
	"strconv"
)

// number is a figure of the kernel's that may be missing: no such file, no
// permission, not Linux. The zero number is unknown, and what is computed from an
// unknown one is unknown.
type number struct {
	value int64
	known bool
}

// unlimited is where the kernel's ways to say "no limit" begin: LONG_MAX, rounded
// down to a page or not, and RLIM_INFINITY.
const unlimited = math.MaxInt64 &^ 0xFFFF

func exactly(n int64) number { return number{n, true} }

// parse reads a decimal; more than an int64 holds is as good as no limit.
func parse(s string) number {
	u, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return number{}
	}
	return exactly(int64(min(u, math.MaxInt64)))
}

// less returns n − m, not below 0; an unknown m counts as 0.
func (n number) less(m number) number {
	if n.value < unlimited {
		n.value = max(0, n.value-m.value)
	}
	return n
}

func (n number) over(d int64) number {
	n.value /= d
	return n
}

func (n number) times(f int64) number {
	n.value = min(n.value, math.MaxInt64/f) * f
	return n
}

// String prints the number with its digits in groups: 1,048,576.
func (n number) String() string {
	s := n.plain()
	if !n.known || n.value >= unlimited {
		return s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func (n number) plain() string {
	if !n.known {
		return "unknown"
	}
	if n.value >= unlimited {
		return "unlimited"
	}
	return strconv.FormatInt(n.value, 10)
}

// amount prints a number of bytes with three digits or so.
func amount(n number) string {
	if !n.known || n.value >= unlimited {
		return n.plain()
	}
	v, units := float64(n.value), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for v >= 1024 && len(units) > 1 {
		v, units = v/1024, units[1:]
	}
	return fmt.Sprintf("%.4g %s", v, units[0])
}
