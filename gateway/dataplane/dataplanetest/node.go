// Package dataplanetest has a node in memory, for tests of the data plane and of
// what speaks to it.
package dataplanetest

import (
	"context"
	"slices"
	"sync"

	"sluice/gateway/delivery"
)

// Node is a [delivery.Node] of one loop whose sessions only exist in memory. Its
// fields are set before it is used; its methods may be called by any goroutine.
type Node struct {
	// MaxGroups is how many groups a session may be in; 0: any number.
	MaxGroups int
	// Err, if not nil, is what every call returns, and does nothing.
	Err error

	mu       sync.Mutex
	pending  int
	sessions []*session // by slot
	target   delivery.Target
	action   delivery.Action
}

// session is a session of a Node.
type session struct {
	hub, id, user string
	groups        []string
	permissions   []delivery.Permission
	messages      []delivery.Send
	gone          bool
}

// UserID implements [delivery.Subject].
func (s *session) UserID() string { return s.user }

// ConnectionID implements [delivery.Subject].
func (s *session) ConnectionID() string { return s.id }

// InGroup implements [delivery.Subject].
func (s *session) InGroup(name string) bool { return slices.Contains(s.groups, name) }

// Groups implements [delivery.Subject].
func (s *session) Groups() int { return len(s.groups) }

// Open makes a session in the next slot.
func (n *Node) Open(hub, id, user string, groups ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sessions = append(n.sessions, &session{hub: hub, id: id, user: user, groups: groups})
}

// SetPending makes every Result from now on say that so many loops have not
// answered.
func (n *Node) SetPending(loops int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending = loops
}

// Messages returns what was sent to a session.
func (n *Node) Messages(id string) []delivery.Send {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		if s.id == id {
			return slices.Clone(s.messages)
		}
	}
	return nil
}

// GroupsOf returns the groups that a session is in.
func (n *Node) GroupsOf(id string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		if s.id == id {
			return slices.Clone(s.groups)
		}
	}
	return nil
}

// Present returns the ids of the sessions that are not closed.
func (n *Node) Present() (ids []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sessions {
		if !s.gone {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// Last returns what Do was asked for last.
func (n *Node) Last() (delivery.Target, delivery.Action) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.target, n.action
}

// Do implements [delivery.Node].
func (n *Node) Do(_ context.Context, t delivery.Target, a delivery.Action) (delivery.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.target, n.action = t, a
	result := delivery.Result{Pending: n.pending}
	if n.Err != nil {
		return result, n.Err
	}
	var err error
	for _, s := range n.sessions {
		if !means(t, s) {
			continue
		}
		result.Matched++
		if n.act(s, a) {
			result.Queued++
			continue
		}
		result.Dropped++
		if _, joining := a.(delivery.Join); joining {
			err = delivery.ErrTooManyGroups
		}
	}
	return result, err
}

// act does a to s, and is false if it cannot be done.
func (n *Node) act(s *session, a delivery.Action) bool {
	switch a := a.(type) {
	case delivery.Send:
		s.messages = append(s.messages, a)
	case delivery.Close:
		s.gone = true
	case delivery.Join:
		next := slices.Clone(s.groups)
		for _, g := range a.Groups {
			if !slices.Contains(next, g) {
				next = append(next, g)
			}
		}
		if n.MaxGroups > 0 && len(next) > n.MaxGroups {
			return false
		}
		s.groups = next
	case delivery.Leave:
		s.groups = slices.DeleteFunc(s.groups, func(g string) bool {
			return len(a.Groups) == 0 || slices.Contains(a.Groups, g)
		})
	case delivery.Grant:
		s.permissions = append(s.permissions, a.Permission)
	case delivery.Revoke:
		s.permissions = slices.DeleteFunc(s.permissions, func(p delivery.Permission) bool { return p == a.Permission })
	case delivery.Find:
		return a.Permission == nil || slices.Contains(s.permissions, *a.Permission)
	}
	return true
}

// List implements [delivery.Node].
func (n *Node) List(_ context.Context, t delivery.Target, from delivery.Cursor, limit int) (delivery.Page, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var page delivery.Page
	if n.Err != nil {
		return page, n.Err
	}
	for slot := int(from.Slot); slot < len(n.sessions); slot++ {
		s := n.sessions[slot]
		if !means(t, s) {
			continue
		}
		if len(page.Entries) == limit {
			page.Next = &delivery.Cursor{Slot: uint32(slot)}
			break
		}
		page.Entries = append(page.Entries, delivery.Entry{ConnectionID: s.id, UserID: s.user})
	}
	return page, nil
}

// means reports whether t means s.
func means(t delivery.Target, s *session) bool {
	if s.gone || s.hub != t.Hub || slices.Contains(t.Excluded, s.id) || t.Filter != nil && !t.Filter.Match(s) {
		return false
	}
	switch t.Kind {
	case delivery.Group:
		return s.InGroup(t.Name)
	case delivery.User:
		return s.user == t.Name
	case delivery.Connection:
		return s.id == t.Name
	}
	return true
}
