package delivery

import (
	"strings"
	"testing"
)

// subject is a session in a test.
type subject struct {
	user, connection string
	groups           []string
}

func (s *subject) UserID() string       { return s.user }
func (s *subject) ConnectionID() string { return s.connection }
func (s *subject) Groups() int          { return len(s.groups) }
func (s *subject) InGroup(name string) bool {
	for _, g := range s.groups {
		if g == name {
			return true
		}
	}
	return false
}

var (
	ann    = &subject{user: "ann", connection: "c1", groups: []string{"red", "blue", "o'hara"}}
	nobody = &subject{connection: "c2"}
)

func TestAFilterMatchesWhatItSays(t *testing.T) {
	cases := []struct {
		filter      string
		ann, nobody bool
	}{
		{"userId eq 'ann'", true, false},
		{"'ann' eq userId", true, false},
		{"userId ne 'ann'", false, true},
		{"USERID EQ 'ann'", true, false},
		{"userId eq 'ANN'", false, false},
		{"connectionId eq 'c2'", false, true},
		{"userId eq null", false, true},
		{"userId ne null", true, false},
		{"null eq null", true, true},
		{"null ne null", false, false},
		{"userId gt 'am'", true, false},
		{"userId ge 'ann'", true, false},
		{"userId lt 'b'", true, false},
		{"userId le 'anm'", false, false},
		{"connectionId gt userId", true, false},

		{"'red' in groups", true, false},
		{"'green' in groups", false, false},
		{"'red' in (groups)", true, false},
		{"'o''hara' in groups", true, false},
		{"userId in groups", false, false},
		{"concat('r', 'ed') in groups", true, false},
		{"userId in ('bob', 'ann')", true, false},
		{"userId in ('bob')", false, false},
		{"userId in ('bob', null)", false, true},
		{"length(userId) in (1, 3)", true, false},

		{"'red' in groups and 'blue' in groups", true, false},
		{"'red' in groups and 'green' in groups", false, false},
		{"'green' in groups or connectionId eq 'c2' or 'pink' in groups", false, true},
		{"true or false and false", true, true}, // and binds tighter
		{"(true or false) and false", false, false},
		{"not startswith(userId, 'a')", false, true},
		{"not not true", true, true},
		{"not true or true", true, true},
		{"not (true or true)", false, false},
		{"not ('red' in groups)", false, true},
		{"startswith(userId, 'an') eq true", true, false},
		{"(userId eq 'ann') ne (connectionId eq 'c1')", false, false},

		{"startswith(userId, 'an')", true, false},
		{"endswith(userId, 'nn')", true, false},
		{"contains(userId, 'n')", true, false},
		{"contains(userId, null)", false, false},
		{"indexof(userId, 'nn') eq 1", true, false},
		{"indexof(userId, 'x') eq -1", true, false},
		{"indexof('aéz', 'z') eq 2", true, true},
		{"length(userId) gt 2", true, false},
		{"length(userId) le +3", true, false},
		{"length(userId) eq null", false, true},
		{"length('aé😀') eq 3", true, true},
		{"length(groups) ge 3", true, false},
		{"length(groups) eq 0", false, true},
		{"tolower('ÄB') eq 'äb'", true, true},
		{"toupper(userId) eq 'ANN'", true, false},
		{"trim('  ann ') eq userId", true, false},
		{"concat(userId, '-x') eq 'ann-x'", true, false},
		{"concat(userId, null) eq null", true, true},
		{"concat(toupper(userId), concat('-', userId)) eq 'ANN-ann'", true, false},
		{"substring(userId, 1) eq 'nn'", true, false},
		{"substring('aéz', 1, 1) eq 'é'", true, true},
		{"substring('abc', 9) eq ''", true, true},
		{"substring('abc', -1) eq 'abc'", true, true},
		{"substring('abc', 1, -1) eq ''", true, true},
		{"substring('abc', length(userId)) eq null", false, true},
		{"length(tolower(trim(concat(' ', userId)))) eq 3", true, false},
		{"userId eq ''", false, false},
		{"\tuserId\r\neq 'ann'", true, false},
	}
	for _, c := range cases {
		f, err := ParseFilter(c.filter)
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		if got := f.Match(ann); got != c.ann {
			t.Errorf("%s: %v of ann", c.filter, got)
		}
		if got := f.Match(nobody); got != c.nobody {
			t.Errorf("%s: %v of a session without a user", c.filter, got)
		}
		if f.String() != c.filter {
			t.Errorf("%s is shown as %s", c.filter, f)
		}
	}
}

func TestAWrongFilterIsRefusedWithThePlaceAndWhatWasExpected(t *testing.T) {
	cases := []struct{ filter, want string }{
		{"", "byte 1: expected a value, found the end"},
		{"userId", "byte 1: expected a condition, found a text"},
		{"groups", "byte 1: expected a condition, found groups"},
		{"userId eq", "byte 10: expected a value, found the end"},
		{"userId eq 3", "byte 11: expected a text or null, found a number"},
		{"userId eq 'a", "byte 11: this text has no end"},
		{"userId eq 'a' x", `byte 15: expected and, or, or the end, found "x"`},
		{"userId eq 'a' eq true", `byte 15: expected and, or, or the end, found "eq"`},
		{"user eq 'a'", `byte 1: expected userId, connectionId, groups, a function, a text in ' or a number, found "user"`},
		{"userId = 'a'", "byte 8: unexpected '='"},
		{"userId gt null", "byte 8: gt compares texts or numbers"},
		{"true lt false", "byte 6: lt compares texts or numbers"},
		{"true eq null", "byte 9: expected a condition, found null"},
		{"null eq true", "byte 9: expected a text, a number or null, found a condition"},
		{"groups eq groups", "byte 8: expected in or length(groups)"},
		{"groups in ('a')", "byte 8: expected"},
		{"'a' in userId", `byte 8: expected groups or ( behind in, found "userId"`},
		{"3 in groups", "byte 3: expected a text to the left of in groups, found a number"},
		{"userId in ()", `byte 12: expected a value, found ")"`},
		{"userId in ('a',)", `byte 16: expected a value, found ")"`},
		{"userId in ('a' 'b')", `byte 16: expected ), found "'b'"`},
		{"not userId eq 'a'", "byte 5: expected a condition behind not, found a text: put the comparison in parentheses"},
		{"not length(userId) gt 5", "found a number: put the comparison in parentheses"},
		{"userId and true", "byte 1: expected a condition before and, found a text"},
		{"true and userId", "byte 10: expected a condition, found a text"},
		{"(true", "byte 6: expected ), found the end"},
		{"startswith(userId)", `byte 18: expected ,, found ")"`},
		{"startswith(userId, 'a', 'b')", "expected )"},
		{"startswith userId", "expected ("},
		{"startswith(groups, 'a')", "byte 12: expected a text or null, found groups"},
		{"length(3) eq 1", "byte 8: expected a text, groups or null, found a number"},
		{"substring(userId, null) eq 'a'", "byte 19: expected a number, found null"},
		{"length(userId) eq 99999999999999999999", "byte 19: expected a number of 64 bits"},
		{"length(userId) eq -", "byte 19: expected a number behind -"},
		{"length(userId) eq 1.5", "byte 20: unexpected '.'"},
		{strings.Repeat("(", 65) + "true" + strings.Repeat(")", 65), "byte 66: the filter is nested more than 64 deep"},
		{strings.Repeat("not ", 65) + "true", "nested more than 64 deep"},
		{"userId in (" + strings.Repeat("1,", 100), "byte 12: expected a text or null, found a number"},
		{"userId in (" + strings.Repeat("'',", 1000) + "'')", "the filter has more than 1000 parts"},
		{strings.Repeat("true or ", 1000) + "true", "the filter has more than 1000 parts"},
		{strings.Repeat(" ", 8193), "the filter has 8193 bytes, 8192 are allowed"},
		{"userId eq '" + strings.Repeat("x", 100) + "' '" + strings.Repeat("y", 100) + "'", `found "'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"…`},
	}
	for _, c := range cases {
		f, err := ParseFilter(c.filter)
		if err == nil {
			t.Errorf("%.60q was accepted as %v", c.filter, f)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %s", c.filter, err, c.want)
		}
	}
}

func TestAFilterMayBeAsLargeAsItsBounds(t *testing.T) {
	for _, filter := range []string{
		strings.Repeat("(", 64) + "true" + strings.Repeat(")", 64),
		strings.Repeat("true or ", 998) + "true",
		"userId in (" + strings.Repeat("'',", 996) + "'')",
		"userId eq '" + strings.Repeat("x", 8180) + "'",
	} {
		if _, err := ParseFilter(filter); err != nil {
			t.Errorf("%.60q: %v", filter, err)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	for _, filter := range []string{
		"userId in ('bob', 'ann') and 'red' in groups and not (length(groups) gt 3)",
		"substring(trim(tolower(userId)), 1, 1) eq 'n' and indexof(connectionId, 'c') eq 0 and not (userId in groups)",
	} {
		f, err := ParseFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { f.Match(ann) }); n != 0 {
			t.Errorf("%s: %v allocations", filter, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	f, err := ParseFilter("userId in ('bob', 'ann') and ('red' in groups or 'green' in groups) and connectionId ne 'c2'")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !f.Match(ann) {
			b.Fatal("no match")
		}
	}
}

func BenchmarkParseFilter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseFilter("userId in ('bob', 'ann') and ('red' in groups or 'green' in groups) and connectionId ne 'c2'"); err != nil {
			b.Fatal(err)
		}
	}
}
