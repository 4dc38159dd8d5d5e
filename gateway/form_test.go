package gateway

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"

	"sluice/gateway/delivery"
	"sluice/session"
)

// Each window has a form of its own, and a message in that form is what a
// session with that window would be sent alone.
func TestFormsAreWhatReceiversNeed(t *testing.T) {
	n := start(t, nil)
	d := session.NewDeflater()
	m := &delivery.Send{Op: ws.OpText, Data: bytes.Repeat([]byte("what many get is encoded once. "), 2000)}
	seen := map[form]uint8{}
	for _, bits := range []uint8{0, 8, 9, 10, 11, 12, 13, 14, 15} {
		f := formFor(bits)
		if other, twice := seen[f]; twice || f >= forms {
			t.Errorf("%d bits have form %d of %d, which %d bits have", bits, f, forms, other)
		}
		seen[f] = bits
		want := session.AppendFrame(nil, m.Op, m.Data)
		if bits != 0 {
			want = d.AppendFrame(nil, m.Op, m.Data, int(bits))
		}
		n.loops[0].do(func(l *loop) {
			if got := f.encode(l, m); !bytes.Equal(got, want) {
				t.Errorf("%d bits: %d bytes, want %d", bits, len(got), len(want))
			}
		})
	}
	if len(seen) != int(forms) {
		t.Errorf("%d forms, of which %d are used", forms, len(seen))
	}
}
