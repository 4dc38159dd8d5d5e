package node

import (
	"io"

	"sluice/gateway/config"
	"sluice/gateway/descriptors"
	"sluice/gateway/doctor"
	"sluice/netpoll"
)

// Examine writes how many connections of cfg this host would hold, and what
// binds first.
func Examine(w io.Writer, cfg *config.Config) error {
	o := doctor.Options{Want: cfg.Limits.Connections}
	if _, hard, err := netpoll.DescriptorLimit(); err == nil {
		o.Descriptors = func() (soft, most uint64, err error) { return hard, hard, nil } // serving raises it
		shares := *cfg
		shares.Limits.Connections = 0 // how many there could be
		o.Reserve = int(hard) - descriptors.Share(hard, &shares).Connections
	}
	return doctor.Run(w, o)
}
