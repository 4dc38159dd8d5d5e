package webhook

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/valyala/fasthttp"
)

// BenchmarkPost holds one POST of a message of 128 bytes, with two access keys,
// against what bare clients need for the same head and body, ready made:
// neither signed nor encoded, nor its answer looked at. cpu-ns/op is the CPU time
// of this process, user and system; the backend is another one.
//
//	go test -run '^$' -bench Post -benchtime 2s ./gateway/upstream/webhook
func BenchmarkPost(b *testing.B) {
	url := startBackend(b)
	o := options(url)
	o.Config.InFlight = 64
	p := start(b, o)
	call := message("")
	call.Op, call.Data, call.User = ws.OpBinary, benchmarkBody, "ann"

	ready := new(request)
	if err := p.head.event(ready, call); err != nil {
		b.Fatal(err)
	}
	sample, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(ready.head)))
	if err != nil {
		b.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	host := &fasthttp.HostClient{
		Addr: sample.Host, MaxConns: 64, NoDefaultUserAgentHeader: true,
		Dial: func(address string) (net.Conn, error) { return net.Dial("tcp", address) },
	}
	defer host.CloseIdleConnections()
	std := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	defer std.CloseIdleConnections()

	for _, client := range []struct {
		name string
		post func() error
	}{
		{"webhook", func() error {
			_, err := p.Attempt(ctx, call)
			return err
		}},
		{"HostClient", func() error {
			req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(req)
			defer fasthttp.ReleaseResponse(resp)
			req.Header.SetMethod(http.MethodPost)
			req.SetRequestURI(url)
			for name, values := range sample.Header {
				req.Header.Set(name, values[0])
			}
			req.SetBodyRaw(benchmarkBody)
			return host.DoTimeout(req, resp, time.Hour)
		}},
		{"net-http", func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(benchmarkBody))
			if err != nil {
				return err
			}
			for name, values := range sample.Header {
				req.Header[name] = values
			}
			resp, err := std.RoundTrip(req)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return err
		}},
	} {
		b.Run(client.name+"/alone", func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				if err := client.post(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
		b.Run(client.name+"/many", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(16)
			before := cpuTime(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := client.post(); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime returns the CPU time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
