package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/delivery"
)

const (
	pageSize     = 50              // sessions on a page, and without being asked
	maxPageSize  = 500             // that may be asked for
	listPatience = 5 * time.Second // until the loops have answered
)

// page is a part of a list of sessions.
type page struct {
	Sessions []delivery.Entry `json:"sessions"`
	Next     string           `json:"next,omitempty"` // where the next one begins
}

// sessions answers with a page of a hub's sessions: all, or the one with an id,
// or those of a user, or in a group; of these only those that meet a filter, if
// there is one. Who is connected is the backend's business: where a key opens
// the data plane, the list takes it too.
func (c *console) sessions(w http.ResponseWriter, r *http.Request) {
	hub, ok := c.hub(r)
	if !ok {
		refuse(w, http.StatusNotFound, "HubNotFound", "there is no such hub")
		return
	}
	if hub.Keyed {
		if err := c.Authorize(r, hub.Name); err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
			refuse(w, http.StatusUnauthorized, "Unauthorized", err.Error())
			return
		}
	}
	target, from, size, err := parseSearch(hub.Name, r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), listPatience)
	defer cancel()
	found, err := c.Node.List(ctx, target, from, size)
	switch {
	case errors.Is(err, delivery.ErrNoHub):
		refuse(w, http.StatusNotFound, "HubNotFound", err.Error())
		return
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, "Busy", "the node is too busy to tell: ask again")
		return
	}
	p := page{Sessions: found.Entries}
	if p.Sessions == nil {
		p.Sessions = []delivery.Entry{} // not null
	}
	if found.Next != nil {
		p.Next = fmt.Sprintf("%d.%d", found.Next.Loop, found.Next.Slot)
	}
	answer(w, http.StatusOK, p)
}

// parseSearch reads whom a list is about, where it begins, and how long it is.
func parseSearch(hub string, q url.Values) (t delivery.Target, from delivery.Cursor, size int, err error) {
	t.Hub = hub
	for _, by := range []struct {
		key  string
		kind delivery.Kind
	}{{"id", delivery.Connection}, {"user", delivery.User}, {"group", delivery.Group}} {
		name := q.Get(by.key)
		if name == "" {
			continue
		}
		if t.Kind != delivery.All {
			return t, from, 0, errors.New("search by one of id, user and group")
		}
		t.Kind, t.Name = by.kind, name
	}
	if filter := q.Get("filter"); filter != "" {
		if t.Filter, err = delivery.ParseFilter(filter); err != nil {
			return t, from, 0, err
		}
	}
	if after := q.Get("after"); after != "" {
		if from, err = parseCursor(after); err != nil {
			return t, from, 0, err
		}
	}
	size = pageSize
	if text := q.Get("size"); text != "" {
		if size, err = strconv.Atoi(text); err != nil || size < 1 || size > maxPageSize {
			return t, from, 0, fmt.Errorf("size is no number from 1 to %d", maxPageSize)
		}
	}
	return t, from, size, nil
}

// parseCursor reads what next was: a loop and a slot.
func parseCursor(s string) (delivery.Cursor, error) {
	left, right, _ := strings.Cut(s, ".")
	loop, loopErr := strconv.ParseUint(left, 10, 16)
	slot, slotErr := strconv.ParseUint(right, 10, 32)
	if loopErr != nil || slotErr != nil {
		return delivery.Cursor{}, errors.New("after is nothing that next has been")
	}
	return delivery.Cursor{Loop: uint16(loop), Slot: uint32(slot)}, nil
}
