package deploy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes tls.crt, tls.key and both in tls.pem, and returns their
// folder.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"ws.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	crt := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	folder := t.TempDir()
	write(t, filepath.Join(folder, "tls.crt"), crt)
	write(t, filepath.Join(folder, "tls.key"), secret)
	write(t, filepath.Join(folder, "tls.pem"), crt+secret)
	return folder
}

// example is a configuration with a certificate that is there.
func example(t *testing.T, name string) string {
	t.Helper()
	folder := certificate(t)
	text := strings.ReplaceAll(read(t, "proxies/"+name), "/etc/ssl/sluice", folder)
	return write(t, filepath.Join(folder, name), text)
}

func TestNginxTakesItsExample(t *testing.T) {
	file := example(t, "nginx.conf")
	// It binds when it checks.
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.ReplaceAll(read(t, file), "listen 443", "listen "+probe.Addr().String()))
	probe.Close()
	folder := filepath.Dir(file)
	must(t, "nginx", "-t", "-p", folder, "-c", file, "-g", "error_log stderr; pid "+folder+"/pid;")
}

func TestHAProxyTakesItsExample(t *testing.T) {
	must(t, "haproxy", "-c", "-f", example(t, "haproxy.cfg"))
}
