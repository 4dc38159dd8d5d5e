package remote

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/config"
)

// access is where the gateway is, and what opens it.
type access struct {
	base   *url.URL
	keys   *auth.Keys
	apiKey string // if there are no keys
}

// newAccess takes what the command line says, and the rest from the gateway's
// configuration, which is read only if something is missing.
func newAccess(o options, environ []string) (access, error) {
	a := access{base: o.url}
	if o.key != "" {
		a.keys = auth.NewKeys([]string{o.key})
		if a.base != nil {
			return a, nil
		}
	}
	c, err := config.Load(o.config, environ, "http", "https")
	if err != nil {
		return a, err
	}
	if a.base == nil {
		if a.base, err = endpoint(c); err != nil {
			return a, err
		}
	}
	if o.key == "" {
		list := c.Keys
		for name, hub := range c.Hubs {
			if strings.EqualFold(name, o.hub) && len(hub.Keys) > 0 {
				list = hub.Keys
			}
		}
		a.keys = auth.NewKeys(list)
		if len(c.APIKeys) > 0 {
			a.apiKey = c.APIKeys[0]
		}
	}
	return a, nil
}

// endpoint returns the URL under which a gateway with that configuration is
// reached, from this host if it does not say.
func endpoint(c *config.Config) (*url.URL, error) {
	if c.Endpoint != "" {
		return baseURL(c.Endpoint)
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}, nil
}

// bearer returns what opens the data plane for a request to that URL.
func (a *access) bearer(url string, ttl time.Duration) (string, error) {
	if a.keys.Empty() && a.apiKey != "" {
		return a.apiKey, nil
	}
	return a.keys.DataPlaneToken(url, ttl)
}

// keyless says what to do about an error of a token that could not be made.
func keyless(err error) error {
	if errors.Is(err, auth.ErrNoKey) {
		return fmt.Errorf("%w: name the gateway's configuration by -config, or a key by -key", err)
	}
	return err
}
