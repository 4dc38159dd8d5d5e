package auth

import (
	"strings"
	"unicode/utf8"
)

// pattern matches names of groups, whose segments are separated by dots:
//
//	?    one character that is no dot
//	*    any number of characters that are no dots
//	**   any number of characters
//	\    takes away the meaning of the ?, * or \ behind it
//
// This is the syntax of Azure Web PubSub's wildcard group roles.
type pattern string

// maxStars is how many * a pattern may have, those of ** included.
const maxStars = 5

// valid reports whether p is a pattern.
func (p pattern) valid() bool {
	stars := 0
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '*':
			stars++
		case '\\':
			if i++; i == len(p) || strings.IndexByte(`?*\`, p[i]) < 0 {
				return false
			}
		}
	}
	return p != "" && stars <= maxStars
}

// matches reports whether the whole of name matches p, which must be valid. It
// takes time in proportion to the product of their lengths at most: roles are
// signed, but names come from clients.
//
// Each star first stands for nothing. At a mismatch the last * takes one more
// character, or, where it must not because that is a dot, the last **. Earlier
// stars need no second chance: what a later one could reach from where an
// earlier one ends first includes what it could reach from any other end.
func (p pattern) matches(name string) bool {
	// Where p goes on behind the last * and **, and where the name does when
	// they take one more character; -1: there is none.
	star, starName := -1, 0
	double, doubleName := -1, 0
	at, i := 0, 0
	for {
		if at < len(p) && p[at] == '*' {
			if at+1 < len(p) && p[at+1] == '*' {
				at += 2
				double, doubleName, star = at, i, -1
			} else {
				at++
				star, starName = at, i
			}
			continue
		}
		if i == len(name) && at == len(p) {
			return true
		}
		if i < len(name) && at < len(p) {
			if p1, i1, ok := p.step(name, at, i); ok {
				at, i = p1, i1
				continue
			}
		}
		switch {
		case star >= 0 && starName < len(name) && name[starName] != '.':
			starName += runeSize(name[starName:])
			at, i = star, starName
		case double >= 0 && star >= 0:
			// The * came as far as its segment goes. It would come no further if
			// the ** ended elsewhere in its own segment.
			dot := strings.IndexByte(name[doubleName:], '.')
			if dot < 0 {
				return false
			}
			doubleName += dot + 1
			at, i, star = double, doubleName, -1
		case double >= 0 && doubleName < len(name):
			doubleName += runeSize(name[doubleName:])
			at, i = double, doubleName
		default:
			return false
		}
	}
}

// step matches one character of name against what is no star in p.
func (p pattern) step(name string, at, i int) (nextAt, nextI int, ok bool) {
	switch p[at] {
	case '?':
		return at + 1, i + runeSize(name[i:]), name[i] != '.'
	case '\\':
		at++
	}
	return at + 1, i + 1, p[at] == name[i]
}

// runeSize returns the length of the first character of s, 1 if it is not UTF-8.
func runeSize(s string) int {
	_, size := utf8.DecodeRuneInString(s)
	return size
}
