package delivery

import "fmt"

// Subject is the session that a Filter looks at. It is asked on the goroutine
// that calls [Filter.Match].
type Subject interface {
	UserID() string // "" if it has none, which is null
	ConnectionID() string
	InGroup(name string) bool
	Groups() int // in how many groups it is
}

// Filter is a condition on sessions, in the language of Azure Web PubSub's
// filter parameter, a subset of OData:
//
//	userId eq 'ann' or (startswith(userId, 'bot-') and not ('muted' in groups))
//
// The properties are userId and connectionId, which are texts, and groups. In
// the order of how tightly they bind, the operators are not; eq, ne, gt, ge, lt,
// le and in; and; or. A literal is a text in single quotes, of which one in the
// text is written twice, an integer, true, false or null. The functions are
// startswith, endswith, contains, indexof, length (of a text, or of groups),
// tolower, toupper, trim, substring and concat. Names are case-insensitive, and
// texts are compared by their bytes. Lengths and positions in a text count its
// Unicode characters, from 0.
//
// A session without a user has the userId null, and what is computed of null is
// null. Only eq, ne and in find null: to every other operator, and to
// startswith, endswith and contains, the answer is no.
//
// A Filter is immutable, and any goroutine may use it.
type Filter struct {
	source string
	root   node
}

// Bounds of a filter: a request can bring any, and a loop has to run it.
const (
	maxFilter = 8 << 10 // bytes
	maxDepth  = 64      // parentheses, functions and nots in one another
	maxNodes  = 1000    // operators, functions and values
)

// ParseFilter reads a condition. Its error says where in the text it is wrong,
// as a byte counted from 1, and what was expected there.
func ParseFilter(s string) (*Filter, error) {
	if len(s) > maxFilter {
		return nil, fmt.Errorf("the filter has %d bytes, %d are allowed", len(s), maxFilter)
	}
	p := parser{lexer: lexer{source: s}}
	root, err := p.filter()
	if err != nil {
		return nil, err
	}
	return &Filter{source: s, root: root}, nil
}

// Match reports whether the condition holds for s. It allocates nothing but
// what tolower, toupper and concat make.
func (f *Filter) Match(s Subject) bool {
	return f.root.truth(s)
}

// String returns what the filter was parsed from.
func (f *Filter) String() string { return f.source }
