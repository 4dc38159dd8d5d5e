package delivery

import (
	"cmp"
	"strings"
	"unicode/utf8"
)

// truth returns the value of a condition. The parser has checked the kinds, so
// there is a method for each, and null is what comes without ok.
func (n *node) truth(s Subject) bool {
	switch n.op {
	case opTrue:
		return true
	case opFalse:
		return false
	case opAnd:
		for i := range n.args {
			if !n.args[i].truth(s) {
				return false
			}
		}
		return true
	case opOr:
		for i := range n.args {
			if n.args[i].truth(s) {
				return true
			}
		}
		return false
	case opNot:
		return !n.args[0].truth(s)
	case opEq:
		return n.args[0].equal(&n.args[1], s)
	case opNe:
		return !n.args[0].equal(&n.args[1], s)
	case opIn:
		for i := range n.args[1:] {
			if n.args[0].equal(&n.args[1+i], s) {
				return true
			}
		}
		return false
	case opMember:
		name, ok := n.args[0].text(s)
		return ok && s.InGroup(name)
	case opStartsWith, opEndsWith, opContains:
		return n.part(s)
	}
	return n.ordered(s)
}

// equal compares n with another of its kind, or one of both is null.
func (n *node) equal(to *node, s Subject) bool {
	switch (n.kind | to.kind) &^ null {
	case boolean:
		return n.truth(s) == to.truth(s)
	case text:
		a, ok := n.text(s)
		b, also := to.text(s)
		return ok == also && a == b
	case integer:
		a, ok := n.integer(s)
		b, also := to.integer(s)
		return ok == also && a == b
	}
	return true // null and null
}

// ordered compares two texts or two numbers; null comes neither before nor
// behind anything.
func (n *node) ordered(s Subject) bool {
	x, y := &n.args[0], &n.args[1]
	var order int
	var ok, also bool
	if x.kind == text {
		var a, b string
		a, ok = x.text(s)
		b, also = y.text(s)
		order = strings.Compare(a, b)
	} else {
		var a, b int64
		a, ok = x.integer(s)
		b, also = y.integer(s)
		order = cmp.Compare(a, b)
	}
	if !ok || !also {
		return false
	}
	switch n.op {
	case opGt:
		return order > 0
	case opGe:
		return order >= 0
	case opLt:
		return order < 0
	}
	return order <= 0
}

// part returns whether one text is a part of another.
func (n *node) part(s Subject) bool {
	t, ok := n.args[0].text(s)
	part, also := n.args[1].text(s)
	if !ok || !also {
		return false
	}
	switch n.op {
	case opStartsWith:
		return strings.HasPrefix(t, part)
	case opEndsWith:
		return strings.HasSuffix(t, part)
	}
	return strings.Contains(t, part)
}

// integer returns the value of a number, 0 and false for null.
func (n *node) integer(s Subject) (i int64, ok bool) {
	switch n.op {
	case opNumber:
		return n.number, true
	case opSize:
		return int64(s.Groups()), true
	case opLength:
		t, ok := n.args[0].text(s)
		return int64(utf8.RuneCountInString(t)), ok
	case opIndexOf:
		return n.index(s)
	}
	return 0, false // null
}

// index returns where one text begins in another, -1 if it is not in it.
func (n *node) index(s Subject) (i int64, ok bool) {
	t, ok := n.args[0].text(s)
	part, also := n.args[1].text(s)
	if !ok || !also {
		return 0, false
	}
	at := strings.Index(t, part)
	if at < 0 {
		return -1, true
	}
	return int64(utf8.RuneCountInString(t[:at])), true
}

// text returns the value of a text, "" and false for null.
func (n *node) text(s Subject) (t string, ok bool) {
	switch n.op {
	case opText:
		return n.literal, true
	case opUser:
		t = s.UserID()
		return t, t != ""
	case opConnection:
		return s.ConnectionID(), true
	case opNull:
		return "", false
	}
	t, ok = n.args[0].text(s) // the first argument of every function
	if !ok {
		return "", false
	}
	switch n.op {
	case opTrim:
		return strings.TrimSpace(t), true
	case opLower:
		return strings.ToLower(t), true
	case opUpper:
		return strings.ToUpper(t), true
	case opConcat:
		tail, ok := n.args[1].text(s)
		if !ok {
			return "", false
		}
		return t + tail, true
	}
	return n.substring(t, s)
}

// substring returns the characters of t from a position on, up to a number of
// them. What is asked for beyond its ends is not there.
func (n *node) substring(t string, s Subject) (string, bool) {
	from, ok := n.args[1].integer(s)
	if !ok {
		return "", false
	}
	t = t[offset(t, from):]
	if len(n.args) == 2 {
		return t, true
	}
	count, ok := n.args[2].integer(s)
	if !ok {
		return "", false
	}
	return t[:offset(t, count)], true
}

// offset returns where the n-th character of t begins, or the end.
func offset(t string, n int64) int {
	for i := range t {
		if n <= 0 {
			return i
		}
		n--
	}
	return len(t)
}
