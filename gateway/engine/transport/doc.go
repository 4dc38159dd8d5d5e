// Package transport is what a stream reads from and writes to, below its queue: nothing at all, as with plain TCP, or a
// [Transport], as TLS is. It knows records, and nothing of what they carry.
//
// A [Maker] belongs to a listener and makes a [Transport] for each connection. A stream keeps it in a [Line], which is the
// one place where bytes pass between the stream and its socket. Plain has no Line: a nil *Line costs its stream a comparison.
// A stream that goes to code that wants a [net.Conn] takes its [State] along to a [Conn], and can come back.
//
// # The contract
//
// Package transporttest holds any transport to it.
//
//   - What is sealed is sent. A queue advances when its bytes are sealed, not when the socket takes them: cutting, expiry and
//     the bound of a queue concern bytes that are not sealed.
//   - Sealing happens only while no sealed bytes wait. So a stream holds one record at most, of [MaxRecord] bytes of the
//     stream, and what reading has provoked.
//   - What waits is what is queued and what is sealed: for asking when the socket takes bytes, for the high water above which
//     a stream takes no further message, for the budget of buffers, and for the age at which a reader is too slow.
//   - What reading provokes (answers in a handshake, new keys, alerts) joins the sealed bytes, in order. While more than the
//     high water is sealed, nothing is opened and nothing is read.
//   - A record that has come in part is kept as it came, in a buffer of the loop's pool, and ages as an unfinished message does.
//   - Records are opened where they were read. An idle transport has no buffer.
//   - The order at the end is: the queue, the sealed bytes, the transport's farewell, the end of our direction.
//   - Before a transport is up its stream can say nothing. What the stream would say is thrown away, and the farewell is the
//     refusal, in a form that a peer understands who has no transport yet.
//   - A transport that has much to compute before it is up may do that beside the loop. Meanwhile nothing is read.
//
// # Kernel TLS
//
// A transport whose keys were given to the kernel when it came up opens and seals by copying, in records of its own choice,
// and has no farewell; or its Line goes, once nothing waits in it. Neither is anything that a stream could notice.
package transport
