package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// An event is the POST that delivers a message, as the gateway was seen to make it.
type event struct {
	Path   string
	Header http.Header
	Body   []byte
}

// An observer is a backend that keeps the first event it gets.
type observer chan event

func (o observer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WebHook-Allowed-Origin", "*")
	w.Header().Set("Content-Type", "text/plain")
	if r.Method != http.MethodPost {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	select {
	case o <- event{r.RequestURI, r.Header, body}:
	default:
	}
	w.Write(body)
}

// observe has the gateway, built in dir, deliver messages, and returns the first of them.
func observe(ctx context.Context, dir string) (event, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return event{}, err
	}
	o, served := make(observer, 1), make(chan error, 1)
	s := http.Server{Handler: o}
	go func() { served <- s.Serve(l) }()
	defer func() {
		s.Close()
		<-served
	}()
	g, err := startGateway(ctx, dir, hub{upstream: "http://" + l.Addr().String() + eventsPath, event: "*"})
	if err != nil {
		return event{}, err
	}
	defer g.stop()
	load := settings{url: g.url, conns: 1, active: 1, size: messageSize, pids: pids{none: true},
		warmup: 50 * time.Millisecond, duration: 50 * time.Millisecond}
	if _, err := measure(ctx, mode{"echo", "", load, (*measurement).echo}, load, &progress{}); err != nil {
		return event{}, err
	}
	select {
	case e := <-o:
		return e, nil
	default:
		return event{}, errors.New("no event has come")
	}
}
