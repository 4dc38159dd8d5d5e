package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// A phrase is a part of a filter, and what it is worth of a subject, said in
// another way than the package does it.
type phrase[T any] struct {
	source string
	of     func(*subject) T
}

// Values that can be null are pointers in the tests.
type (
	condition = phrase[bool]
	words     = phrase[*string]
	count     = phrase[*int]
)

var names = []string{"ann", "ANN", "an", "n", "", "o'hara", "é😀", "red", "c1", "  "}

func conditions(t *rapid.T, depth int) condition {
	return joined(t, depth, " or ", func(values []bool) bool { return slices.Contains(values, true) }, func() condition {
		return joined(t, depth, " and ", func(values []bool) bool { return !slices.Contains(values, false) }, func() condition {
			return term(t, depth)
		})
	})
}

// joined makes a chain of one to three.
func joined(t *rapid.T, depth int, operator string, fold func([]bool) bool, make func() condition) condition {
	parts := []condition{make()}
	for depth > 0 && len(parts) < 3 && rapid.IntRange(0, 2).Draw(t, "more") == 0 {
		parts = append(parts, make())
	}
	var sources []string
	for _, p := range parts {
		sources = append(sources, p.source)
	}
	return condition{strings.Join(sources, operator), func(s *subject) bool {
		var values []bool
		for _, p := range parts {
			values = append(values, p.of(s))
		}
		return fold(values)
	}}
}

// term makes what stands between and, and or.
func term(t *rapid.T, depth int) condition {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 {
		kind %= 5
	}
	switch kind {
	case 0:
		operator := rapid.SampledFrom([]string{"eq", "ne", "gt", "ge", "lt", "le"}).Draw(t, "operator")
		a, b := texts(t, depth), texts(t, depth)
		return condition{a.source + " " + operator + " " + b.source, func(s *subject) bool { return compared(operator, a.of(s), b.of(s)) }}
	case 1:
		operator := rapid.SampledFrom([]string{"EQ", "Ne", "gT", "ge", "lt", "le"}).Draw(t, "operator")
		a, b := counts(t, depth), counts(t, depth)
		return condition{a.source + "\t" + operator + "\n" + b.source, func(s *subject) bool {
			return compared(strings.ToLower(operator), a.of(s), b.of(s))
		}}
	case 2:
		a := texts(t, depth)
		return condition{a.source + " in groups", func(s *subject) bool {
			return a.of(s) != nil && slices.Contains(s.groups, *a.of(s))
		}}
	case 3:
		a, b, c := texts(t, depth), texts(t, depth), texts(t, depth)
		return condition{fmt.Sprintf("%s in (%s, %s,null)", a.source, b.source, c.source), func(s *subject) bool {
			return compared("eq", a.of(s), b.of(s)) || compared("eq", a.of(s), c.of(s)) || a.of(s) == nil
		}}
	case 4:
		name := rapid.SampledFrom([]string{"startswith", "endswith", "contains"}).Draw(t, "function")
		a, b := texts(t, depth), texts(t, depth)
		return condition{fmt.Sprintf("%s(%s, %s)", name, a.source, b.source), func(s *subject) bool {
			x, y := a.of(s), b.of(s)
			if x == nil || y == nil {
				return false
			}
			switch name {
			case "startswith":
				return len(*x) >= len(*y) && (*x)[:len(*y)] == *y
			case "endswith":
				return len(*x) >= len(*y) && (*x)[len(*x)-len(*y):] == *y
			}
			return len(strings.Split(*x, *y)) > 1 || *y == ""
		}}
	case 5:
		c := conditions(t, depth-1)
		return condition{"not (" + c.source + ")", func(s *subject) bool { return !c.of(s) }}
	}
	c := conditions(t, depth-1)
	return condition{"(" + c.source + ")", c.of}
}

func compared[T int | string](operator string, a, b *T) bool {
	switch operator {
	case "eq":
		return a == nil && b == nil || a != nil && b != nil && *a == *b
	case "ne":
		return !compared("eq", a, b)
	}
	if a == nil || b == nil {
		return false
	}
	return map[string]bool{"gt": *a > *b, "ge": *a >= *b, "lt": *a < *b, "le": *a <= *b}[operator]
}

func texts(t *rapid.T, depth int) words {
	kind := rapid.IntRange(0, 6).Draw(t, "text")
	if depth == 0 {
		kind %= 3
	}
	switch kind {
	case 0:
		return words{"userId", func(s *subject) *string {
			if s.user == "" {
				return nil
			}
			return &s.user
		}}
	case 1:
		return words{"connectionID", func(s *subject) *string { return &s.connection }}
	case 2:
		literal := rapid.SampledFrom(names).Draw(t, "literal")
		return words{"'" + strings.ReplaceAll(literal, "'", "''") + "'", func(*subject) *string { return &literal }}
	case 3:
		return onText(t, depth, "tolower", strings.ToLower)
	case 4:
		return onText(t, depth, "trim", strings.TrimSpace)
	case 5:
		a, b := texts(t, depth-1), texts(t, depth-1)
		return words{fmt.Sprintf("concat(%s,%s)", a.source, b.source), func(s *subject) *string {
			x, y := a.of(s), b.of(s)
			if x == nil || y == nil {
				return nil
			}
			return new(*x + *y)
		}}
	}
	a := texts(t, depth-1)
	from, length := rapid.IntRange(0, 4).Draw(t, "from"), rapid.IntRange(0, 4).Draw(t, "length")
	return words{fmt.Sprintf("substring(%s, %d, +%d)", a.source, from, length), func(s *subject) *string {
		x := a.of(s)
		if x == nil {
			return nil
		}
		runes := []rune(*x)
		start := min(from, len(runes))
		return new(string(runes[start:min(start+length, len(runes))]))
	}}
}

func onText(t *rapid.T, depth int, name string, f func(string) string) words {
	a := texts(t, depth-1)
	return words{name + "(" + a.source + ")", func(s *subject) *string {
		if x := a.of(s); x != nil {
			return new(f(*x))
		}
		return nil
	}}
}

func counts(t *rapid.T, depth int) count {
	switch rapid.IntRange(0, 3).Draw(t, "count") {
	case 0:
		n := rapid.IntRange(-1, 4).Draw(t, "number")
		return count{fmt.Sprint(n), func(*subject) *int { return &n }}
	case 1:
		return count{"length(groups)", func(s *subject) *int { return new(len(s.groups)) }}
	case 2:
		a := texts(t, depth)
		return count{"length(" + a.source + ")", func(s *subject) *int {
			if x := a.of(s); x != nil {
				return new(len([]rune(*x)))
			}
			return nil
		}}
	}
	a, b := texts(t, depth), texts(t, depth)
	return count{fmt.Sprintf("indexof(%s, %s)", a.source, b.source), func(s *subject) *int {
		x, y := a.of(s), b.of(s)
		if x == nil || y == nil {
			return nil
		}
		before, _, found := strings.Cut(*x, *y)
		if !found {
			return new(-1)
		}
		return new(utf8.RuneCountInString(before))
	}}
}

func TestAFilterIsWorthWhatItsPartsAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := conditions(t, 3)
		s := &subject{
			user:       rapid.SampledFrom(names).Draw(t, "user"),
			connection: rapid.SampledFrom(names).Draw(t, "connection"),
			groups:     rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "groups"),
		}
		f, err := ParseFilter(c.source)
		if err != nil {
			if len(c.source) < 2000 {
				t.Fatalf("%s: %v", c.source, err)
			}
			return // one of the bounds
		}
		if got, want := f.Match(s), c.of(s); got != want {
			t.Fatalf("%s: %v of %+v", c.source, got, s)
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{
		"userId eq 'o''hara' and not ('x' in groups)", "length(userId) ge -1 or null ne null",
		"substring(trim(userId), 1, 2) in ('a', null)", "((true))", "'", "x in (groups)", "\xff", "concat(toupper('ß'), 'é') le 'z'",
	} {
		f.Add(seed, "ann", "red")
	}
	f.Fuzz(func(t *testing.T, source, user, group string) {
		filter, err := ParseFilter(source)
		if err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("the error is not UTF-8: %q", err)
			}
			return
		}
		if filter.String() != source {
			t.Errorf("%q is shown as %q", source, filter)
		}
		s := &subject{user: user, connection: "c1", groups: []string{group}}
		negated, err := ParseFilter("not (" + source + ")")
		if err != nil {
			return // one of the bounds
		}
		if filter.Match(s) == negated.Match(s) {
			t.Errorf("%q and its negation are both %v", source, filter.Match(s))
		}
	})
}
