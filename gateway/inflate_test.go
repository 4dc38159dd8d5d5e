package gateway

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/gobwas/ws"

	"sluice/metrics"
)

// emptyBlock is a DEFLATE block with codes of its own and nothing in it: 92
// bits, padded to a byte by a stored block, which is empty as well.
const emptyBlock = "\x0c\xc0\x81\x00\x00\x00\x00\x00\x90\xff\x6b\x00" + "\x00\x00\xff\xff"

// compressedDial opens a session with permessage-deflate.
func (n *node) compressedDial() *peer {
	n.t.Helper()
	p := n.connect()
	p.say(request("/", "Sec-WebSocket-Extensions: permessage-deflate"))
	p.wantStatus(http.StatusSwitchingProtocols)
	return p
}

// A message that takes far more work than it is worth ends its session, and
// holds up nobody.
func TestMessageOfEmptyBlocksEndsItsSessionOnly(t *testing.T) {
	n := start(t, withDeflate)
	hostile, other := n.compressedDial(), n.compressedDial()
	few := bytes.Repeat([]byte(emptyBlock), 100)
	hostile.send(part(fin|rsv1|byte(ws.OpBinary), string(few)+"\x00")) // within what a message may cost
	hostile.want(ws.OpBinary, "")
	many := bytes.Repeat([]byte(emptyBlock), 60_000)
	half := len(many) / 2
	hostile.send(part(rsv1|byte(ws.OpBinary), string(many[:half])))
	hostile.send(part(fin|byte(ws.OpContinuation), string(many[half:])+"\x00"))
	hostile.wantClose(ws.StatusPolicyViolation)
	hostile.Close()
	n.ended(ws.StatusPolicyViolation, metrics.ReasonProtocolError)
	if got := n.metric("sluice_protocol_errors_total", "kind=blocks"); got != 1 {
		t.Errorf("%v counted as of too many blocks", got)
	}
	other.send(text("still here"))
	other.want(ws.OpText, "still here")
}

// RFC 7692 §7.2.1: blocks with BFINAL set are as good as others, wherever they
// are, and are padded to a byte.
func TestBlocksAfterALastBlockAreRead(t *testing.T) {
	n := start(t, withDeflate)
	p := n.compressedDial()
	for _, message := range []string{
		"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",                                   // §7.2.3.4
		"\x01\x02\x00\xfd\xffHe\xca\xc9\xc9\x07\x00",                         // a last block, another
		"\x01\x02\x00\xfd\xffHe\x01\x00\x00\xff\xff\xcb\xc9\xc9\x07\x00\x00", // last blocks only
		"\x01\x02\x00\xfd\xffHe\x01\x03\x00\xfc\xffllo\x01",                  // the last of them not sent whole
	} {
		p.send(part(fin|rsv1|byte(ws.OpText), message))
		p.want(ws.OpText, "Hello")
	}
}
