package k6_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
)

func TestSmokeFindsAServersFault(t *testing.T) {
	k6 := program(t)
	for _, test := range []struct {
		name    string
		server  http.HandlerFunc
		crossed []string // of the metrics of the scenario clients
	}{
		{"none", echo(func(m message) { m.answer(m.kind, m.data) }), nil},
		{"wrong bytes", echo(wrongBytes), []string{"echoed", "wrong_messages"}},
		{"cut short", echo(cutShort), []string{"echoed", "wrong_messages"}},
		{"binary for text", echo(wrongKind), []string{"echoed", "wrong_messages"}},
		{"twice", echo(twice), []string{"wrong_messages"}},
		{"silence", echo(func(message) {}), []string{"echoed"}},
		{"hangs up", hangUp, []string{"echoed", "left_cleanly"}},
		{"no goodbye", noGoodbye, []string{"left_cleanly"}},
		{"refusal", refuse, []string{"connected"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.server)
			t.Cleanup(server.Close)
			report := runScript(t, k6, "smoke.js", "URL=ws"+strings.TrimPrefix(server.URL, "http"),
				"CONNECTIONS=3", "DURATION=500ms", "RATE=30", "P99=5000", "CONNECT_P99=5000")
			want := 0
			if test.crossed != nil {
				want = thresholdsCrossed
			}
			if got := ofClients(report.crossed); report.status != want || !slices.Equal(got, test.crossed) {
				t.Errorf("status %d, thresholds crossed %q of %q; want %d, %q\n%s",
					report.status, got, report.crossed, want, test.crossed, report.output)
			}
		})
	}
}

// ofClients picks the metrics of the scenario clients, without their tag.
func ofClients(metrics []string) []string {
	var names []string
	for _, m := range metrics {
		if name, ok := strings.CutSuffix(m, "{scenario:clients}"); ok {
			names = append(names, name)
		}
	}
	return names
}

// message is what a client has sent, and the way back.
type message struct {
	ctx  context.Context
	conn *websocket.Conn
	kind websocket.MessageType
	data []byte
}

// answer sends a message. The next read sees whether that failed.
func (m message) answer(kind websocket.MessageType, data []byte) {
	m.conn.Write(m.ctx, kind, data)
}

// echo serves with what handle answers to each message.
func echo(handle func(message)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // the client has been told
		}
		defer conn.CloseNow()
		conn.SetReadLimit(1 << 20)
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			handle(message{r.Context(), conn, kind, data})
		}
	}
}

func wrongBytes(m message) {
	if len(m.data) > 0 {
		m.data[len(m.data)-1] ^= 1
	}
	m.answer(m.kind, m.data)
}

func cutShort(m message) {
	m.answer(m.kind, m.data[:len(m.data)/2])
}

func wrongKind(m message) {
	m.answer(websocket.MessageBinary, m.data)
}

func twice(m message) {
	m.answer(m.kind, m.data)
	m.answer(m.kind, m.data)
}

func refuse(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "full", http.StatusServiceUnavailable)
}

// hangUp closes at the first message.
func hangUp(w http.ResponseWriter, r *http.Request) {
	echo(func(m message) { m.conn.Close(websocket.StatusInternalError, "") })(w, r)
}

// noGoodbye echoes frame by frame, and ends the connection where a close frame
// is due.
func noGoodbye(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return // the client has been told
	}
	defer conn.Close()
	for {
		header, err := ws.ReadHeader(conn)
		if err != nil {
			return
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(conn, payload); err != nil || header.OpCode == ws.OpClose {
			return
		}
		ws.Cipher(payload, header.Mask, 0)
		op := header.OpCode
		if op == ws.OpPing {
			op = ws.OpPong
		}
		if err := ws.WriteFrame(conn, ws.NewFrame(op, header.Fin, payload)); err != nil {
			return
		}
	}
}
