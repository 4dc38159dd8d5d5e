package delivery

import (
	"strconv"
	"strings"
)

// parser reads a filter by recursive descent, one method for each level of
// precedence. Every method begins at p.tok and leaves the token behind what it
// has read there.
type parser struct {
	lexer
	tok   token
	depth int
	nodes int
}

// filter reads the whole text.
func (p *parser) filter() (node, error) {
	if err := p.advance(); err != nil {
		return node{}, err
	}
	n, err := p.expression(boolean)
	if err != nil {
		return node{}, err
	}
	if p.tok.kind != end {
		return node{}, wrong(p.tok.at, "expected and, or, or the end, found %v", p.tok)
	}
	return n, nil
}

func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}

// is reports whether the token is that word.
func (p *parser) is(name string) bool {
	return p.tok.kind == word && strings.EqualFold(p.tok.text, name)
}

// expect goes behind punctuation.
func (p *parser) expect(kind byte) error {
	if p.tok.kind != kind {
		return wrong(p.tok.at, "expected %c, found %v", kind, p.tok)
	}
	return p.advance()
}

// node counts n in.
func (p *parser) node(n node) (node, error) {
	if p.nodes++; p.nodes > maxNodes {
		return node{}, wrong(p.tok.at, "the filter has more than %d parts", maxNodes)
	}
	return n, nil
}

// deeper runs f one level down.
func (p *parser) deeper(f func() (node, error)) (node, error) {
	if p.depth == maxDepth {
		return node{}, wrong(p.tok.at, "the filter is nested more than %d deep", maxDepth)
	}
	p.depth++
	defer func() { p.depth-- }()
	return f()
}

// expression reads any expression, which must be one of the kinds in want.
func (p *parser) expression(want kind) (node, error) {
	return p.typed(want, p.or)
}

// typed reads an operand that must be one of the kinds in want.
func (p *parser) typed(want kind, operand func() (node, error)) (node, error) {
	at := p.tok.at
	n, err := operand()
	if err == nil && n.kind&want == 0 {
		err = wrong(at, "expected %v, found %v", want, n.kind)
	}
	return n, err
}

func (p *parser) or() (node, error)  { return p.chain("or", opOr, p.and) }
func (p *parser) and() (node, error) { return p.chain("and", opAnd, p.comparison) }

// chain reads operands with the same operator between them into one node, so
// that a long chain is not deep.
func (p *parser) chain(name string, o op, operand func() (node, error)) (node, error) {
	at := p.tok.at
	n, err := operand()
	if err != nil || !p.is(name) {
		return n, err
	}
	if n.kind != boolean {
		return node{}, wrong(at, "expected %v before %s, found %v", boolean, name, n.kind)
	}
	args := []node{n}
	for p.is(name) {
		if err := p.advance(); err != nil {
			return node{}, err
		}
		n, err := p.typed(boolean, operand)
		if err != nil {
			return node{}, err
		}
		args = append(args, n)
	}
	return p.node(node{op: o, kind: boolean, args: args})
}

// comparison reads one operand, or two and what is between them.
func (p *parser) comparison() (node, error) {
	left, err := p.unary()
	if err != nil || p.tok.kind != word {
		return left, err
	}
	operator := p.tok
	if p.is("in") {
		return p.in(left)
	}
	o, known := comparisons[strings.ToLower(operator.text)]
	if !known {
		return left, nil
	}
	if left.kind == groups {
		return node{}, wrong(operator.at, "expected in or length(groups), found %v", operator)
	}
	if err := p.advance(); err != nil {
		return node{}, err
	}
	right, err := p.typed(partners(left.kind), p.unary)
	if err != nil {
		return node{}, err
	}
	if o != opEq && o != opNe && (left.kind|right.kind)&(boolean|null) != 0 {
		return node{}, wrong(operator.at, "%s compares texts or numbers, expected eq or ne", operator.text)
	}
	return p.node(node{op: o, kind: boolean, args: []node{left, right}})
}

// partners are the kinds that k can be compared with.
func partners(k kind) kind {
	switch k {
	case null:
		return text | integer | null
	case text, integer:
		return k | null
	}
	return k
}

// in reads what is right of left.
func (p *parser) in(left node) (node, error) {
	operator := p.tok
	if err := p.advance(); err != nil {
		return node{}, err
	}
	if p.tok.kind != '(' {
		return p.member(left, operator)
	}
	if err := p.advance(); err != nil {
		return node{}, err
	}
	return p.deeper(func() (node, error) {
		if p.is("groups") { // in parentheses, which changes nothing
			n, err := p.member(left, operator)
			if err != nil {
				return node{}, err
			}
			return n, p.expect(')')
		}
		if left.kind == groups {
			return node{}, wrong(operator.at, "expected groups to the right of in, not to its left")
		}
		args := []node{left}
		for {
			n, err := p.typed(partners(left.kind), p.unary)
			if err != nil {
				return node{}, err
			}
			args = append(args, n)
			if p.tok.kind != ',' {
				break
			}
			if err := p.advance(); err != nil {
				return node{}, err
			}
		}
		if err := p.expect(')'); err != nil {
			return node{}, err
		}
		return p.node(node{op: opIn, kind: boolean, args: args})
	})
}

// member reads the word groups.
func (p *parser) member(left node, operator token) (node, error) {
	if !p.is("groups") {
		return node{}, wrong(p.tok.at, "expected groups or ( behind in, found %v", p.tok)
	}
	if left.kind != text {
		return node{}, wrong(operator.at, "expected a text to the left of in groups, found %v", left.kind)
	}
	if err := p.advance(); err != nil {
		return node{}, err
	}
	return p.node(node{op: opMember, kind: boolean, args: []node{left}})
}

// unary reads a value, with not before it or not. In this dialect not binds
// tighter than a comparison.
func (p *parser) unary() (node, error) {
	if !p.is("not") {
		return p.primary()
	}
	if err := p.advance(); err != nil {
		return node{}, err
	}
	return p.deeper(func() (node, error) {
		at := p.tok.at
		n, err := p.unary()
		if err != nil {
			return node{}, err
		}
		if n.kind != boolean {
			return node{}, wrong(at, "expected a condition behind not, found %v: put the comparison in parentheses", n.kind)
		}
		return p.node(node{op: opNot, kind: boolean, args: []node{n}})
	})
}

// primary reads a literal, a property, a function, or parentheses.
func (p *parser) primary() (node, error) {
	t := p.tok
	var n node
	switch t.kind {
	case '(':
		if err := p.advance(); err != nil {
			return node{}, err
		}
		return p.deeper(func() (node, error) {
			n, err := p.or()
			if err != nil {
				return node{}, err
			}
			return n, p.expect(')')
		})
	case quoted:
		n = node{op: opText, kind: text, literal: strings.ReplaceAll(t.text[1:len(t.text)-1], "''", "'")}
	case digits:
		i, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return node{}, wrong(t.at, "expected a number of 64 bits, found %v", t)
		}
		n = node{op: opNumber, kind: integer, number: i}
	case word:
		name := strings.ToLower(t.text)
		if f, known := functions[name]; known {
			return p.call(f)
		}
		value, known := properties[name]
		if !known {
			return node{}, wrong(t.at, "expected userId, connectionId, groups, a function, a text in ' or a number, found %v", t)
		}
		n = value
	default:
		return node{}, wrong(t.at, "expected a value, found %v", t)
	}
	if err := p.advance(); err != nil {
		return node{}, err
	}
	return p.node(n)
}

// call reads a function from its name on.
func (p *parser) call(f function) (node, error) {
	if err := p.advance(); err != nil {
		return node{}, err
	}
	if err := p.expect('('); err != nil {
		return node{}, err
	}
	return p.deeper(func() (node, error) {
		var args []node
		for i, want := range f.params {
			if i > 0 {
				if p.tok.kind == ')' && i >= len(f.params)-f.optional {
					break
				}
				if err := p.expect(','); err != nil {
					return node{}, err
				}
			}
			if want&text != 0 {
				want |= null
			}
			n, err := p.expression(want)
			if err != nil {
				return node{}, err
			}
			args = append(args, n)
		}
		if err := p.expect(')'); err != nil {
			return node{}, err
		}
		o := f.op
		if o == opLength && args[0].kind == groups {
			o = opSize
		}
		return p.node(node{op: o, kind: f.kind, args: args})
	})
}
