package netpoll

import (
	"os"

	"golang.org/x/sys/unix"
)

// Quiesce makes l take no new connections while those that are being opened finish, so that the queue can be emptied and
// Close resets nobody. The kernel drops newcomers' SYNs without an answer; a client repeats its SYN after a second, and then finds
// another listener or is refused. What TCP_DEFER_ACCEPT still holds back arrives when the kernel repeats its own SYN-ACK,
// also after a second. Accept goes on as before.
//
// For an inherited listener it does nothing: the queue lives on in the service manager.
func (l *Listener) Quiesce() error {
	if l.inherited {
		return nil
	}
	err := l.filterSYNs()
	if err != nil {
		err = l.ignoreSYNs()
	}
	if err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("setsockopt TCP_DEFER_ACCEPT", unix.SetsockoptInt(l.fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 0))
}

// filterSYNs attaches a socket filter that drops what has SYN set and ACK clear. Newer kernels allow that for TCP only with
// CAP_NET_ADMIN; before, it needed no privilege. Connections inherit the filter, which lets all their segments pass.
func (l *Listener) filterSYNs() error {
	const flagsAt, synAndAck, syn = 13, 0x12, 0x02 // RFC 9293, section 3.1: the filter sees a segment from its TCP header on
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flagsAt},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synAndAck},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.SetsockoptSockFprog(l.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
}

// ignoreSYNs needs no privilege: it makes the kernel drop segments to l that do not arrive with the highest hop limit of all, 255,
// where hosts start at 64 or 128. A handshake under way is not l's business any more and finishes, but its connection inherits
// the demand and is deaf until Accept lifts it. The client repeats what it has sent by then.
//
// It is the weaker way: neighbours that start at 255 still get in, and a handshake by SYN cookie, which ends at l, does not finish.
func (l *Listener) ignoreSYNs() error {
	l.deaf.Store(true) // first: who accepts a connection that has inherited the demand must know of it
	return l.demandHopLimit(l.fd, 255)
}

// demandHopLimit sets the least hop limit of the segments that fd takes; 0 takes all (RFC 5082; IP_MINTTL in ip(7)).
// fd is l's own or that of one of its connections.
func (l *Listener) demandHopLimit(fd, least int) error {
	if l.addr.Addr().Is6() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, least); err != nil {
			return err
		}
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL, least) // IPv6 sockets serve IPv4 too
}
