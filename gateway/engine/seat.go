package engine

// Seat makes a session of a class that has no socket. What it is sent waits, under
// the bounds of its class. It ends as others do, by Close and the like or Drop.
func (e *Engine) Seat(c *Class) *Stream {
	s := e.slab.take(e)
	s.class = c
	s.state = Open
	s.set(upgraded, true)
	s.set(seated, true)
	e.owner.Came(s)
	e.overdue(s)
	return s
}
