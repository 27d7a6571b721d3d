// Package tlserror recognizes failures to set up an encrypted connection, so that
// messages do not call the server unreachable. It is apart from storekit so that
// SQLite links no TLS.
package tlserror

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Is reports whether err comes from a TLS handshake: the certificate was
// not accepted, by either side, or the peer does not speak TLS. A server that
// refuses it can be reached.
func Is(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		invalid     x509.CertificateInvalidError
	)
	return errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &alert) ||
		errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid)
}
