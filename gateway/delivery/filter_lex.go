package delivery

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// token is a piece of a filter. kind is the byte itself for punctuation, and one
// of the constants otherwise.
type token struct {
	kind byte
	at   int    // where it begins, from 0
	text string // as it stands in the filter
}

const (
	end    byte = 0
	word   byte = 'w' // a name or an operator
	quoted byte = 'q' // a text, with its quotes
	digits byte = 'd' // a number, with its sign
)

// lexer cuts a filter into tokens.
type lexer struct {
	source string
	at     int
}

func (l *lexer) next() (token, error) {
	for l.at < len(l.source) && isSpace(l.source[l.at]) {
		l.at++
	}
	start := l.at
	if start == len(l.source) {
		return token{kind: end, at: start}, nil
	}
	var kind byte
	switch c := l.source[start]; {
	case c == '(' || c == ')' || c == ',':
		kind = c
		l.at++
	case c == '\'':
		kind = quoted
		if !l.quoted() {
			return token{}, wrong(start, "this text has no end: expected a '")
		}
	case isDigit(c) || c == '-' || c == '+':
		kind = digits
		l.at++
		l.skip(isDigit)
		if !isDigit(l.source[l.at-1]) {
			return token{}, wrong(start, "expected a number behind %c", c)
		}
	case isLetter(c):
		kind = word
		l.skip(func(c byte) bool { return isLetter(c) || isDigit(c) })
	default:
		r, _ := utf8.DecodeRuneInString(l.source[start:])
		return token{}, wrong(start, "unexpected %q", r)
	}
	return token{kind: kind, at: start, text: l.source[start:l.at]}, nil
}

// quoted goes behind the text that begins here, false if it does not end.
func (l *lexer) quoted() bool {
	for {
		l.at++
		n := strings.IndexByte(l.source[l.at:], '\'')
		if n < 0 {
			return false
		}
		l.at += n + 1
		if l.at == len(l.source) || l.source[l.at] != '\'' {
			return true
		}
	}
}

func (l *lexer) skip(belongs func(byte) bool) {
	for l.at < len(l.source) && belongs(l.source[l.at]) {
		l.at++
	}
}

func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

// String is t for messages.
func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	const most = 32
	if len(t.text) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(t.text[:most], ""))
	}
	return fmt.Sprintf("%q", t.text)
}

// wrong is an error at a byte of the filter.
func wrong(at int, format string, args ...any) error {
	return fmt.Errorf("filter, byte %d: %s", at+1, fmt.Sprintf(format, args...))
}
