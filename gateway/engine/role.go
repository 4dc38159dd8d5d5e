package engine

import "sluice/session"

// Role is the side that s plays.
func (s *Stream) Role() session.Role {
	if s.is(dialled) {
		return session.Client
	}
	return session.Server
}

// masks reports whether what s says is masked: it is a session, in the client's
// role (RFC 6455 §5.3).
func (s *Stream) masks() bool { return s.flags&(dialled|upgraded) == dialled|upgraded }

// mask returns the frames in p as a client sends them, in a buffer of the engine's.
func (e *Engine) mask(p []byte) []byte {
	e.masked = session.AppendAllMasked(e.masked[:0], p, e.key)
	return e.masked
}

// key returns a masking key that nobody can foresee.
func (e *Engine) key() [4]byte {
	k := e.keys.Uint64()
	return [4]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)}
}
