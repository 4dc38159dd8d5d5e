//go:build !linux

package netpoll

// The name is the message: the compiler prints it.
var _ = sluice_needs_linux_epoll_eventfd_timerfd
