package main

import (
	"sync"
	"time"
)

// A crowd is the set of connected clients that every server of this kind has to keep in order to
// push. Safe for all goroutines.
type crowd[C comparable] struct {
	mu      sync.Mutex
	members map[C]struct{}
}

func newCrowd[C comparable]() *crowd[C] {
	return &crowd[C]{members: make(map[C]struct{})}
}

func (c *crowd[C]) join(client C) {
	c.mu.Lock()
	c.members[client] = struct{}{}
	c.mu.Unlock()
}

func (c *crowd[C]) leave(client C) {
	c.mu.Lock()
	delete(c.members, client)
	c.mu.Unlock()
}

// everybody returns who is there now.
func (c *crowd[C]) everybody() []C {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]C, 0, len(c.members))
	for client := range c.members {
		all = append(all, client)
	}
	return all
}

// pingSlices is into how many bursts the pings of an interval are divided.
const pingSlices = 64

// ping calls one for each client once an interval, for as long as the process lives.
func (c *crowd[C]) ping(interval time.Duration, one func(C)) {
	tick := time.NewTicker(interval / pingSlices)
	defer tick.Stop()
	for {
		all := c.everybody()
		for slice := range pingSlices {
			<-tick.C
			for _, client := range all[len(all)*slice/pingSlices : len(all)*(slice+1)/pingSlices] {
				one(client)
			}
		}
	}
}
