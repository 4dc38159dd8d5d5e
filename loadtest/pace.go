package main

import "math"

// A pace plans when things are to begin: the k-th at start + k/rate, whatever happened to the ones
// before, so that a server that stalls cannot make its load wait for it.
type pace struct {
	start    int64
	interval float64 // ns; 0: no plan, everything is due at once
	k        float64
}

// newPace plans rate beginnings a second; rate 0 is no plan.
func newPace(start int64, rate float64) pace {
	p := pace{start: start}
	if rate > 0 {
		p.interval = 1e9 / rate
	}
	return p
}

// next returns when the next one is due. Without a plan that is always now.
func (p *pace) next(now int64) int64 {
	if p.interval == 0 {
		return now
	}
	return p.start + int64(math.Round(p.k*p.interval))
}

// taken moves the plan on to the one after.
func (p *pace) taken() { p.k++ }
