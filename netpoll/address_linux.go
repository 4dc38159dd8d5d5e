package netpoll

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// parseAddress reads what Listen takes. An empty host is every address of both families, like [::].
func parseAddress(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen address: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen address %q: the port must be a number from 0 to 65535", s)
	}
	var addr netip.Addr
	switch host {
	case "":
		addr = netip.IPv6Unspecified()
	case "localhost":
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		addr, err = netip.ParseAddr(host)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("listen address %q: the host must be an IP address, localhost, or empty for all", s)
		}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nil
}

// sockaddrOf is the way into bind(2).
func sockaddrOf(a netip.AddrPort) (unix.Sockaddr, error) {
	port := int(a.Port())
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.Addr().As4()}, nil
	}
	zone, err := zoneIndex(a.Addr().Zone())
	if err != nil {
		return nil, err
	}
	return &unix.SockaddrInet6{Port: port, Addr: a.Addr().As16(), ZoneId: zone}, nil
}

// zoneIndex returns the interface that a link-local address needs (RFC 4007): an index, or a name.
func zoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if index, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(index), nil
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, err)
	}
	return uint32(ifi.Index), nil
}

// socketAddr asks the kernel for an address of fd (getsockname(2), getpeername(2)), without the allocation that a
// [unix.Sockaddr] costs, and returns the zero AddrPort where there is none. A zone is the interface's index.
func socketAddr(trap uintptr, fd int) netip.AddrPort {
	var raw unix.RawSockaddrInet6
	size := uint32(unsafe.Sizeof(raw))
	_, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return netip.AddrPort{}
	}
	switch raw.Family {
	case unix.AF_INET:
		raw4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&raw))
		return netip.AddrPortFrom(netip.AddrFrom4(raw4.Addr), networkOrder(raw4.Port))
	case unix.AF_INET6:
		addr := netip.AddrFrom16(raw.Addr).Unmap()
		if raw.Scope_id != 0 {
			addr = addr.WithZone(strconv.FormatUint(uint64(raw.Scope_id), 10))
		}
		return netip.AddrPortFrom(addr, networkOrder(raw.Port))
	default:
		return netip.AddrPort{}
	}
}

// networkOrder reads a port out of a raw socket address, whose bytes are in network order.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
