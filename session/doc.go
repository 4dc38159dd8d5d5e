// Package session is one client's WebSocket session without any I/O: bytes in,
// messages out, and back. The caller reads and writes the socket and tells the
// time; here are the rules (RFC 6455, RFC 7692) and the bounds.
//
// The way of a frame: a [Reader] takes what was read from the socket and
// returns messages and control frames, most of them without a copy. The
// Append functions and the [Deflater] encode the answers, a [Shared] frame
// goes to many sessions, and a [Queue] keeps what the socket did not take. A
// [Wheel] wakes the sessions up whose time has come, a [Bucket] slows down
// those who send too much, an [IDKey] names them to the world. [Users] and
// [Groups] find the sessions of a user and of a group.
//
// A session is a Reader, a Queue, a [Closing] and a [Heartbeat], which know nothing
// of each other: a few words of memory, for an idle one owns no buffer. Buffers
// come from the loop's [Pool], and every byte of them is charged to the node's
// [Budget].
//
// Nothing here is locked. Sessions, and the Context, Pool, Wheel, Inflater and
// Deflater that they share, belong to one loop and its goroutine. Only Budget,
// IDKey and Shared may be used from everywhere, and so may the methods May of
// Users and Groups.
package session
