package plainhttp

import (
	"io"
	"net/http"
	"runtime"
)

// serve answers requests on the clients' port.
//
// It lets others go first: a connection with many requests in its buffer is
// answered without ever waiting, and a loop that has been woken would stand
// behind all such connections.
func (h *Server) serve(to http.ResponseWriter, from *http.Request) {
	runtime.Gosched()
	if from.Method == http.MethodConnect {
		h.turn(to)
		return
	}
	w, r := &answerWriter{ResponseWriter: to, conn: connOf(from)}, from
	if from.ContentLength != 0 {
		// The server goes by the body of its own request.
		w.body = &trackedBody{ReadCloser: from.Body}
		r = new(http.Request)
		*r = *from
		r.Body = w.body
	}
	h.o.Handler.ServeHTTP(w, r)
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
}

// answerWriter writes an answer on the clients' port. One that does not wait for
// the body of its request ends the connection, and so does one to a backend that
// has more connections than its share: net/http would read on first.
type answerWriter struct {
	http.ResponseWriter
	conn  *conn
	body  *trackedBody // nil: there is none
	begun bool
}

func (w *answerWriter) WriteHeader(status int) {
	if !w.begun && status >= http.StatusOK {
		w.begun = true
		if w.conn.server.crowds(w.conn) || w.body != nil && !w.body.ended && w.conn.abandonBody() {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// trackedBody knows whether it was read to its end, or as far as it came: then
// the server may be reading on in the background.
type trackedBody struct {
	io.ReadCloser
	ended bool
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}
