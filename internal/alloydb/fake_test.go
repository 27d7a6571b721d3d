package alloydb_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/alloydb/connectors/apiv1alpha/connectorspb"
	"google.golang.org/protobuf/proto"
)

const (
	privateIP, publicIP = "10.0.0.7", "203.0.113.7"
	pscName             = "7.alloydb-psc.goog"
)

// fake is an AlloyDB instance: an Admin API that knows it, and its proxy, which
// wants a certificate of that API, exchanges the metadata of the connection, and
// passes everything on to a real database.
type fake struct {
	target string // host:port of the database
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	api    *httptest.Server
	proxy  net.Listener
	calls  atomic.Int64
	dialed atomic.Value // string
	login  atomic.Value // *connectorspb.MetadataExchangeRequest
}

func newFake(t *testing.T, instance, databaseURL string) *fake {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{target: u.Host}
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	f.ca = f.certificate(t, "fake CA", &f.key.PublicKey, nil)
	server := f.certificate(t, "server", &f.key.PublicKey, f.ca)
	clients := x509.NewCertPool()
	clients.AddCert(f.ca)
	f.proxy, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: f.key}},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.proxy.Close() })
	go f.serve()

	api := http.NewServeMux()
	cluster, _, _ := strings.Cut(instance, "/instances/")
	api.HandleFunc("GET /v1alpha/"+instance+"/connectionInfo", f.connectionInfo)
	api.HandleFunc("POST /v1alpha/"+cluster+":generateClientCertificate", func(w http.ResponseWriter, r *http.Request) { f.clientCertificate(t, w, r) })
	f.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.calls.Add(1)
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(f.api.Close)
	return f
}

// certificate signs one for key; parent is nil for the CA itself.
func (f *fake) certificate(t *testing.T, name string, key crypto.PublicKey, parent *x509.Certificate) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.ParseIP(privateIP), net.ParseIP(publicIP)}, DNSNames: []string{pscName},
	}
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, parent = true, true, template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, f.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func pemOf(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func (f *fake) connectionInfo(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]string{
		"ipAddress": privateIP, "publicIpAddress": publicIP, "pscDnsName": pscName, "instanceUid": "0",
	})
}

func (f *fake) clientCertificate(t *testing.T, w http.ResponseWriter, r *http.Request) {
	var request struct {
		PublicKey string `json:"publicKey"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	block, _ := pem.Decode([]byte(request.PublicKey))
	if block == nil {
		http.Error(w, "no public key", http.StatusBadRequest)
		return
	}
	key, err := x509.ParsePKCS1PublicKey(block.Bytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ca := pemOf(f.ca)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"caCert": ca, "pemCertificateChain": []string{pemOf(f.certificate(t, "client", key, f.ca)), ca},
	})
}

// dial notes the address, and reaches the proxy instead.
func (f *fake) dial(ctx context.Context, _, address string) (net.Conn, error) {
	f.dialed.Store(address)
	return new(net.Dialer).DialContext(ctx, "tcp", f.proxy.Addr().String())
}

func (f *fake) serve() {
	for {
		client, err := f.proxy.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = client.Close() }()
			if f.exchange(client) != nil {
				return
			}
			server, err := net.Dial("tcp", f.target)
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			}()
			_, _ = io.Copy(client, server)
		}()
	}
}

// exchange is what precedes the database's own protocol: a message of the client
// says how it logs in, each with its length in front.
func (f *fake) exchange(client net.Conn) error {
	var size [4]byte
	if _, err := io.ReadFull(client, size[:]); err != nil {
		return err
	}
	message := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(client, message); err != nil {
		return err
	}
	login := new(connectorspb.MetadataExchangeRequest)
	if err := proto.Unmarshal(message, login); err != nil {
		return err
	}
	f.login.Store(login)
	answer, err := proto.Marshal(&connectorspb.MetadataExchangeResponse{ResponseCode: connectorspb.MetadataExchangeResponse_OK})
	if err != nil {
		return err
	}
	_, err = client.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
	return err
}
