package webhook

import (
	"encoding/json"

	"sluice/gateway/upstream"
)

// connectBody is what a backend is told of a handshake. Names and members that
// are empty are there all the same: SDKs iterate over them.
type connectBody struct {
	Claims             map[string][]string `json:"claims"`
	Query              map[string][]string `json:"query"`
	Headers            map[string][]string `json:"headers"`
	Subprotocols       []string            `json:"subprotocols"`
	ClientCertificates []struct{}          `json:"clientCertificates"`
}

type disconnectedBody struct {
	Reason string `json:"reason"`
}

// bodyOf returns the body of the request for c: what the client sent, or JSON.
func bodyOf(c *upstream.Call) ([]byte, error) {
	switch c.Type {
	case upstream.Connect:
		b := connectBody{ClientCertificates: []struct{}{}}
		if r := c.Request; r != nil {
			b.Claims, b.Query, b.Headers, b.Subprotocols = r.Claims, r.Query, r.Headers, r.Subprotocols
		}
		for _, m := range []*map[string][]string{&b.Claims, &b.Query, &b.Headers} {
			if *m == nil {
				*m = map[string][]string{}
			}
		}
		if b.Subprotocols == nil {
			b.Subprotocols = []string{}
		}
		return json.Marshal(b)
	case upstream.Connected:
		return []byte("{}"), nil
	case upstream.Disconnected:
		return json.Marshal(disconnectedBody{c.Reason})
	}
	return c.Data, nil
}
