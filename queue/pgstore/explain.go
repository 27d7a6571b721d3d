package pgstore

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claimcheck-go/claimcheck/queue/internal/tlserror"
)

// contention says why a statement was stopped.
func contention(err *pgconn.PgError) string {
	text := fmt.Sprintf("%s (SQLSTATE %s)", err.Message, err.Code)
	if err.Code == pgerrcode.QueryCanceled && strings.Contains(err.Message, "statement timeout") {
		text += ": statement_timeout of this role or database is too short for it"
	}
	return text
}

// serverName is the name of a server in messages: host and port, or the socket.
func serverName(host string, port uint16) string {
	if network, address := pgconn.NetworkAddress(host, port); network == "unix" {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// where is the name of the database in messages.
func (s *Store) where() string {
	c := s.pool.Config().ConnConfig
	return fmt.Sprintf("PostgreSQL at %s/%s as user %s", s.server, c.Database, c.User)
}

// explain says in one line what is wrong with the database, and what to check.
func (s *Store) explain(err error) string {
	var pgErr *pgconn.PgError
	var connectErr *pgconn.ConnectError
	var text string
	switch {
	case errors.As(err, &pgErr):
		text = s.explainAnswer(pgErr)
	case errors.As(err, &connectErr), !s.dialFunc && tlserror.Is(err):
		text = s.explainConnect(err)
	default:
		text = "the connection broke (" + innermost(err) + ")"
	}
	return s.where() + ": " + text
}

// explainAnswer explains an error that the server returned.
func (s *Store) explainAnswer(err *pgconn.PgError) string {
	message := fmt.Sprintf("%s, SQLSTATE %s", err.Message, err.Code)
	switch url := s.setting("URL"); {
	case err.Code == pgerrcode.InvalidAuthorizationSpecification && strings.Contains(err.Message, "pg_hba.conf"):
		return "the server does not let this user in from here, or not in this way (" + message + "): check its pg_hba.conf, and sslmode in " + url
	case err.Code == pgerrcode.InvalidPassword || err.Code == pgerrcode.InvalidAuthorizationSpecification:
		return "the server refused this user or password (" + message + "): check both in " + url
	case err.Code == pgerrcode.InvalidCatalogName:
		return "there is no such database: create it, or correct the name in " + url
	case err.Code == pgerrcode.ReadOnlySQLTransaction:
		return "it accepts no writes (" + message + "): it is a standby, or default_transaction_read_only is on for it, this database or this role"
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", err.Message, err.Code)
}

// explainConnect explains why no connection could be made.
func (s *Store) explainConnect(err error) string {
	var dns *net.DNSError
	cause := lastAttempt(err)
	switch url := s.setting("URL"); {
	case s.dialFunc:
		_, text, _ := strings.Cut(oneLine(err), "dial error: ") // an address without meaning precedes it
		return "it cannot be reached: " + cmp.Or(text, innermost(err))
	case errors.As(err, &dns):
		return "the host name is not known: check it in " + url
	case tlserror.Is(cause), strings.Contains(cause.Error(), refusedTLS):
		return "no encrypted connection (" + innermost(cause) + "): check sslmode and sslrootcert in " + url
	case otherProtocol.MatchString(cause.Error()):
		return "what answers there is not PostgreSQL: are host and port in " + url + " right?"
	case strings.HasPrefix(s.server, "/"):
		return "it does not answer (" + innermost(cause) + "): is it running, and is the socket in " + url + " right? (On Cloud Run the service's Cloud SQL connections must name the instance.)"
	}
	return "it does not answer (" + innermost(cause) + "): is it running, and are host and port in " + s.setting("URL") + " right?"
}

// refusedTLS is the text of the driver's error when a server has no TLS.
const refusedTLS = "server refused TLS connection"

// otherProtocol matches the driver's errors when the peer does not speak
// PostgreSQL's protocol.
var otherProtocol = regexp.MustCompile("received unexpected message|unknown message type")

// lastAttempt returns err without the attempts that the server refused to encrypt, if
// another attempt followed: with sslmode=prefer, the default, one without TLS
// does, and its error is the cause.
func lastAttempt(err error) error {
	var connectErr *pgconn.ConnectError
	if !errors.As(err, &connectErr) {
		return err
	}
	attempts, several := connectErr.Unwrap().(interface{ Unwrap() []error })
	if !several {
		return err
	}
	var others []error
	for _, attempt := range attempts.Unwrap() {
		if !strings.Contains(attempt.Error(), refusedTLS) {
			others = append(others, attempt)
		}
	}
	if len(others) == 0 {
		return err
	}
	return errors.Join(others...)
}

// innermost returns the first cause at the bottom of err. The errors above it repeat
// the addresses, once for each of them.
func innermost(err error) string {
	for {
		switch wrapped := err.(type) {
		case interface{ Unwrap() []error }:
			err = wrapped.Unwrap()[0]
			continue
		case interface{ Unwrap() error }:
			if cause := wrapped.Unwrap(); cause != nil {
				err = cause
				continue
			}
		}
		return oneLine(err)
	}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
