package delivery

import "strings"

// node is an expression: a value, or an operator or function over others.
type node struct {
	op      op
	kind    kind
	literal string // of opText
	number  int64  // of opNumber
	args    []node
}

// kind is what an expression is.
type kind uint8

const (
	boolean kind = 1 << iota
	text
	integer
	groups
	null
)

// kinds has the name of each, in the order of the bits.
var kinds = [...]string{"a condition", "a text", "a number", "groups", "null"}

// String names what k may be, for messages.
func (k kind) String() string {
	var b strings.Builder
	for i, name := range kinds {
		bit := kind(1) << i
		if k&bit == 0 {
			continue
		}
		if b.Len() > 0 && k&^(bit<<1-1) == 0 { // the last
			b.WriteString(" or ")
		} else if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name)
	}
	return b.String()
}

// op is what a node does.
type op uint8

const (
	opTrue op = iota
	opFalse
	opText
	opNumber
	opNull
	opUser
	opConnection
	opGroups

	opAnd // of two or more
	opOr
	opNot

	opEq
	opNe
	opGt
	opGe
	opLt
	opLe
	opIn     // the first is one of the others
	opMember // a text is the name of one of the groups

	opStartsWith
	opEndsWith
	opContains
	opIndexOf
	opLength
	opSize // the number of groups
	opLower
	opUpper
	opTrim
	opSubstring
	opConcat
)

// properties, with true, false and null, are the words that are values.
var properties = map[string]node{
	"userid":       {op: opUser, kind: text},
	"connectionid": {op: opConnection, kind: text},
	"groups":       {op: opGroups, kind: groups},
	"true":         {op: opTrue, kind: boolean},
	"false":        {op: opFalse, kind: boolean},
	"null":         {op: opNull, kind: null},
}

// comparisons are the operators between two values of a kind.
var comparisons = map[string]op{"eq": opEq, "ne": opNe, "gt": opGt, "ge": opGe, "lt": opLt, "le": opLe}

// function is what a function takes and gives.
type function struct {
	op       op
	kind     kind
	params   []kind
	optional int // so many of the last params may be left out
}

var functions = map[string]function{
	"startswith": {op: opStartsWith, kind: boolean, params: []kind{text, text}},
	"endswith":   {op: opEndsWith, kind: boolean, params: []kind{text, text}},
	"contains":   {op: opContains, kind: boolean, params: []kind{text, text}},
	"indexof":    {op: opIndexOf, kind: integer, params: []kind{text, text}},
	"length":     {op: opLength, kind: integer, params: []kind{text | groups}},
	"tolower":    {op: opLower, kind: text, params: []kind{text}},
	"toupper":    {op: opUpper, kind: text, params: []kind{text}},
	"trim":       {op: opTrim, kind: text, params: []kind{text}},
	"substring":  {op: opSubstring, kind: text, params: []kind{text, integer, integer}, optional: 1},
	"concat":     {op: opConcat, kind: text, params: []kind{text, text}},
}
