package session

const (
	// partialSize is what a partial is charged to the budget.
	partialSize = 256
	// maxFreePartials bounds what a Context keeps of them: 64 KiB.
	maxFreePartials = 256
)

// Limits bound one message of a peer. Both count; there is no value for
// "unlimited".
type Limits struct {
	Message   int // bytes, as sent and, if compressed, as inflated
	Fragments int // frames of a fragmented message, empty ones too
}

// Context is what a loop lends to its readers. There is one for a loop, and
// only the loop's goroutine may use it.
type Context struct {
	Pool     *Pool
	Inflater *Inflater
	Now      Tick // the loop's clock; the loop keeps it current

	free  *partial
	nfree int
}

// NewContext returns a Context whose readers take their buffers from p.
func NewContext(p *Pool) *Context {
	return &Context{Pool: p, Inflater: NewInflater()}
}

// borrow returns an empty partial, or nil when the budget is exhausted.
func (c *Context) borrow() *partial {
	if !c.Pool.charge(partialSize) {
		return nil
	}
	pt := c.free
	if pt == nil {
		pt = new(partial)
	} else {
		c.free = pt.next
		c.nfree--
	}
	*pt = partial{started: c.Now}
	return pt
}

// giveBack takes a partial and its buffer back.
func (c *Context) giveBack(pt *partial) {
	c.Pool.Put(pt.buf)
	c.Pool.budget.Give(partialSize)
	pt.buf = nil
	if c.nfree < maxFreePartials {
		pt.next = c.free
		c.free = pt
		c.nfree++
	}
}
