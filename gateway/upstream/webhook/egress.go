package webhook

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// private are the addresses that a backend on the public internet cannot have:
// what the IANA registries of special-purpose addresses do not call globally
// reachable, what carries an IPv4 address inside, and the metadata services of
// clouds that use others.
var private = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // Azure
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	"3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for i, s := range list {
		parsed[i] = netip.MustParsePrefix(s)
	}
	return parsed
}

// isPrivate reports whether a is an address that is no public host's.
func isPrivate(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(a) })
}

// refusePrivate is a net.Dialer's Control. It sees the address that is about
// to be connected to, so that it does not matter what a name meant before.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if isPrivate(a.Addr()) {
		return fmt.Errorf("%s is a private address, and private_addresses is off", a.Addr())
	}
	return nil
}
