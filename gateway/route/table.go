// Package route says whom a request is for: whether this node ([Hosts]), and which
// of its hubs ([Table]), by name or by path. It knows nothing of either but that.
package route

import (
	"bytes"
	"net/http"
	"strings"

	"sluice/gateway/handshake"
)

// ErrNoHub is the answer to a request for a hub that there is not.
var ErrNoHub = &handshake.Error{Status: http.StatusNotFound, Reason: "no such hub"}

// Table finds hubs. It is made by New and Add, and then only read.
type Table[H any] struct {
	paths  map[string]*H // that they were given, without escapes
	names  map[string]*H
	folded map[string]named[H] // by the name in lower case: see Named
}

type named[H any] struct {
	hub    *H
	length int // of its name
}

// New makes a table without hubs.
func New[H any]() Table[H] {
	return Table[H]{paths: make(map[string]*H), names: make(map[string]*H), folded: make(map[string]named[H])}
}

// Add adds a hub under its name, and at paths of its own, which are well-formed.
func (t *Table[H]) Add(name string, paths []string, h *H) {
	t.names[name] = h
	t.folded[strings.ToLower(name)] = named[H]{h, len(name)}
	for _, path := range paths {
		plain, _ := handshake.UnescapePath([]byte(path))
		t.paths[string(plain)] = h
	}
}

// All are the hubs by name. Nobody may change it.
func (t *Table[H]) All() map[string]*H { return t.names }

// Named returns the hub of that name in whatever case, as the service does that
// the SDKs come from; nil if there is none. Paths that a hub has been given are
// another matter: they are compared as they are.
func (t *Table[H]) Named(name string) *H {
	if h := t.names[name]; h != nil {
		return h
	}
	n := t.folded[strings.ToLower(name)]
	if n.length != len(name) { // letters beyond ASCII may have small ones within it
		return nil
	}
	return n.hub
}

// At returns the hub at a path as it was sent. The error is [ErrNoHub], or that of
// a path which could be taken for another.
func (t *Table[H]) At(path []byte) (*H, error) {
	plain, ok := handshake.UnescapePath(path)
	if !ok {
		return nil, handshake.ErrTarget
	}
	if h := t.paths[string(plain)]; h != nil {
		return h, nil
	}
	if name, ok := bytes.CutPrefix(plain, []byte("/client/hubs/")); ok {
		if h := t.Named(string(name)); h != nil {
			return h, nil
		}
	}
	return nil, ErrNoHub
}
