package testdb

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"testing"
)

// Certificate returns a certificate for 127.0.0.1 of an authority that no program
// knows, and its key, both in PEM.
func Certificate(tb testing.TB) (certificate, key string) {
	tb.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	encoded, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	return certificate, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}
