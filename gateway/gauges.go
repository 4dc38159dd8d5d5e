package gateway

// export adds the values that belong to no loop to the metrics. A scrape reads
// them without a lock.
func (g *Gateway) export() {
	gauge := func(name, help string, f func() int64) {
		g.metrics.GaugeFunc("sluice_"+name, help, func() float64 { return float64(f()) })
	}
	gauge("connections_limit", "Connections that this node accepts at most.",
		func() int64 { return g.settings.Load().connections })
	gauge("handshakes_limit", "Handshakes in flight of each kind: whose request is awaited, whose verdict is, and that were refused.",
		func() int64 { return g.settings.Load().pending })
	gauge("verifications_in_flight", "Tokens that are verified beside the loops.", g.beside.underWay)
	gauge("draining", "1 while the node leaves service.", func() int64 {
		if g.draining.Load() {
			return 1
		}
		return 0
	})
	gauge("buffered_bytes", "Bytes buffered for all clients.", g.budget.Used)
	gauge("buffered_bytes_limit", "Bytes that may be buffered for all clients.", g.budget.Limit)
	gauge("mailbox_bytes", "Bytes of pushes that wait for the fullest of the loops.", g.mailboxBytes)
	gauge("mailbox_bytes_limit", "Bytes of pushes that may wait for one loop.",
		func() int64 { return g.settings.Load().mailbox })
	gauge("http_connections", "Connections that speak plain HTTP on the clients' port.", g.http.Count)
	gauge("http_connections_limit", "Connections that may speak plain HTTP on the clients' port.",
		func() int64 { return g.settings.Load().http })
}

// mailboxBytes is what the fullest mailbox holds.
func (g *Gateway) mailboxBytes() (most int64) {
	for _, l := range g.loops {
		most = max(most, l.mail.bytes.Load())
	}
	return most
}
