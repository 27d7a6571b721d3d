package cloudsql_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const publicIP, privateIP = "203.0.113.7", "10.0.0.7"

// fake is a Cloud SQL instance: an Admin API that knows it, and its proxy,
// which wants a certificate of that API and passes everything on to a real
// database.
type fake struct {
	instance   string // without project and region
	project    string
	region     string
	target     string // host:port of the database
	ca         *x509.Certificate
	key        *ecdsa.PrivateKey
	api        *httptest.Server
	proxy      net.Listener
	calls      atomic.Int64
	dialed     atomic.Value // string
	loginToken atomic.Value // string

	mu    sync.Mutex
	conns []net.Conn // to the database
}

func newFake(t *testing.T, name, databaseURL string) *fake {
	t.Helper()
	parts := strings.Split(name, ":")
	n := len(parts)
	f := &fake{project: strings.Join(parts[:n-2], ":"), region: parts[n-2], instance: parts[n-1]}
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	f.target = u.Host
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	f.ca = f.certificate(t, "fake CA", &f.key.PublicKey, nil)
	server := f.certificate(t, f.project+":"+f.instance, &f.key.PublicKey, f.ca)
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
	path := "/sql/v1beta4/projects/" + f.project + "/instances/" + f.instance
	api.HandleFunc("GET "+path+"/connectSettings", f.settings)
	api.HandleFunc("POST "+path+":generateEphemeralCert", func(w http.ResponseWriter, r *http.Request) { f.ephemeralCert(t, w, r) })
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

func (f *fake) settings(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]any{
		"backendType": "SECOND_GEN", "databaseVersion": "POSTGRES_15", "region": f.region,
		"serverCaCert": map[string]string{"cert": pemOf(f.ca)},
		"ipAddresses":  []map[string]string{{"ipAddress": publicIP, "type": "PRIMARY"}, {"ipAddress": privateIP, "type": "PRIVATE"}},
	})
}

func (f *fake) ephemeralCert(t *testing.T, w http.ResponseWriter, r *http.Request) {
	var request struct {
		PublicKey   string `json:"public_key"`
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.loginToken.Store(request.AccessToken)
	block, _ := pem.Decode([]byte(request.PublicKey))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"ephemeralCert": map[string]string{"cert": pemOf(f.certificate(t, "client", key, f.ca))},
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
			server, err := net.Dial("tcp", f.target)
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, server)
			f.mu.Unlock()
			go func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			}()
			_, _ = io.Copy(client, server)
		}()
	}
}

// cut ends all connections.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
	f.conns = nil
}

// throughConnector is databaseURL without host and port.
func throughConnector(t *testing.T, databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = ""
	return u.String()
}
