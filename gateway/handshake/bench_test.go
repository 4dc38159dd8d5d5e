package handshake

import (
	"strings"
	"testing"
)

// browserHead is what a browser sends, cookies and all.
const browserHead = "GET /client/hubs/chat?access_token=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTEifQ.c2lnbmF0dXJl HTTP/1.1\r\n" +
	"Host: gateway.example.com\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: https://gateway.example.com\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Protocol: json.webpubsub.azure.v1\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"\r\n"

// smallHead is what a client library sends.
const smallHead = "GET / HTTP/1.1\r\n" +
	"Host: 127.0.0.1:8080\r\n" +
	"Upgrade: websocket\r\n" +
	"Connection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"\r\n"

// longHead has a cookie of 7 KiB.
var longHead = strings.Replace(smallHead, "Upgrade: websocket", "Cookie: c="+strings.Repeat("x", 7<<10)+"\r\nUpgrade: websocket", 1)

var benchOptions = Options{Subprotocols: []string{"json.reliable.webpubsub.azure.v1", "json.webpubsub.azure.v1"}, Deflate: true}

func benchHeads(b *testing.B, f func(b *testing.B, head []byte)) {
	for name, head := range map[string]string{"small": smallHead, "browser": browserHead, "cookie-7KiB": longHead} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			f(b, []byte(head))
		})
	}
}

func BenchmarkEnd(b *testing.B) {
	benchHeads(b, func(b *testing.B, head []byte) {
		for b.Loop() {
			if End(head, 0) != len(head) {
				b.Fatal("no end")
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	benchHeads(b, func(b *testing.B, head []byte) {
		var h Head
		for b.Loop() {
			if err := Parse(head, 64, &h); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	benchHeads(b, func(b *testing.B, head []byte) {
		var h Head
		if err := Parse(head, 64, &h); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := h.Check(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkUpgrade(b *testing.B) {
	benchHeads(b, func(b *testing.B, head []byte) {
		var h Head
		if err := Parse(head, 64, &h); err != nil {
			b.Fatal(err)
		}
		if err := h.Check(); err != nil {
			b.Fatal(err)
		}
		u, dst := NewUpgrader(), make([]byte, 0, 512)
		for b.Loop() {
			if _, _, err := u.Upgrade(dst, &h, &benchOptions); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHandshake is all that the loop does for a new connection.
func BenchmarkHandshake(b *testing.B) {
	benchHeads(b, func(b *testing.B, head []byte) {
		var h Head
		u, dst := NewUpgrader(), make([]byte, 0, 512)
		for b.Loop() {
			n := End(head, 0)
			if err := Parse(head[:n], 64, &h); err != nil {
				b.Fatal(err)
			}
			if err := h.Check(); err != nil {
				b.Fatal(err)
			}
			if _, _, err := u.Upgrade(dst, &h, &benchOptions); err != nil {
				b.Fatal(err)
			}
		}
	})
}
