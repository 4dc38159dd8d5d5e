package netpoll

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxVector is the number of buffers that one Writev sends: beyond it the copy costs more than the call saved.
const maxVector = 64

// Vector is the scratch space of [Conn.Writev]. A loop owns one for all its connections.
type Vector struct {
	iov [maxVector]unix.Iovec
}

// Writev writes what the socket takes now of the first 64 non-empty buffers, as one piece. Like [Conn.Write] it may write
// less than there is. v belongs to the call while it runs and keeps no buffer alive afterwards.
func (c Conn) Writev(bufs [][]byte, v *Vector) (int, error) {
	n := 0
	for _, b := range bufs {
		if len(b) == 0 {
			continue
		}
		if n == maxVector {
			break
		}
		v.iov[n].Base = unsafe.SliceData(b)
		v.iov[n].SetLen(len(b))
		n++
	}
	if n == 0 {
		return 0, nil
	}
	msg := unix.Msghdr{Iov: &v.iov[0]}
	msg.SetIovlen(n)
	written, err := call("sendmsg", unix.SYS_SENDMSG, c.FD(), unsafe.Pointer(&msg), sendFlags, 0)
	clear(v.iov[:n])
	return written, err
}
