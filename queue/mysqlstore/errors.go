package mysqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
	"github.com/claimcheck-go/claimcheck/queue/internal/tlserror"
)

// The numbers of errors, as the servers document them.
var (
	numberDuplicate = []uint16{1062}
	numberSchema    = []uint16{1146, 1054, 1176} // no such table, column, index
	numberRefused   = []uint16{1045, 1698, 1044, 1251, 1862, 4151}
	numberReadOnly  = []uint16{1290, 1836, 1792}
	// A row that has changed since it was read, and with it deadlocks and lock
	// waits.
	numberChanged  = []uint16{1020}
	numberInTheWay = []uint16{1213, 1205, 1020}
	numberLocked   = []uint16{3572, 1205}
	// A lock that is not waited for, and statements cut off by a time limit.
	numberGivenUp   = []uint16{3572, 1317, 1969, 3024}
	numberForbidden = []uint16{1142, 1143}
	numberTooLarge  = []uint16{1153, 1301}
	// Conditions of the server that pass, or that an administrator ends.
	numberUnavailable = []uint16{
		1040, 1203, 1226, // too many connections
		1021, 1114, 1037, 1038, 1041, 1135, // out of disk, memory, threads
		1030, 1180, 1026, // storage engine, commit
		1053, 1077, 1079, 1927, 1152, 1158, 1159, 1160, 1161, 4031, // shutdown, connection ended
		1129, 1130, // this host is not let in
		1047, 1049, // a cluster that is not ready; no such database
		3100, // replication
	}
)

func isNumber(err error, numbers ...[]uint16) bool {
	var failure *mysql.MySQLError
	return errors.As(err, &failure) && slices.Contains(slices.Concat(numbers...), failure.Number)
}

// Duplicate reports whether an INSERT failed because the ID, or the key, exists.
func (*server) Duplicate(err error) bool { return isNumber(err, numberDuplicate) }

// DuplicateID reports whether it was the ID: the message names the index, some servers
// after the table.
func (*server) DuplicateID(err error) bool {
	var failure *mysql.MySQLError
	return errors.As(err, &failure) && isNumber(err, numberDuplicate) && strings.Contains(failure.Message, "PRIMARY'")
}

// MayRepeat reports whether another transaction was in the way.
func (*server) MayRepeat(err error) bool { return isNumber(err, numberInTheWay) }

// Locked reports whether a lock was not waited for (MySQL), or is not waited for any longer,
// which is MariaDB's error for both.
func (*server) Locked(err error) bool { return isNumber(err, numberLocked) }

// Changed reports whether a row has changed since the transaction's snapshot.
func (*server) Changed(err error) bool { return isNumber(err, numberChanged) }

// Forbidden reports whether a right on a table, or on a column, is lacking.
func (*server) Forbidden(err error) bool { return isNumber(err, numberForbidden) }

// TableMissing reports whether a table, column or index does not exist.
func (*server) TableMissing(err error) bool { return isNumber(err, numberSchema) }

// Broken also covers a server that has become a read-only replica: the next
// connection finds the one that has taken over.
func (*server) Broken(err error) bool {
	var network net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, mysql.ErrMalformPkt) || errors.As(err, &network) || isNumber(err, numberReadOnly)
}

// Translate makes the driver's errors those of package queue; others pass.
func (m *server) Translate(ctx context.Context, op string, err error) error {
	var failure *mysql.MySQLError
	var connect *connectError
	switch {
	case ctx.Err() != nil && (errors.Is(err, ctx.Err()) || m.Broken(err) || errors.As(err, &connect) || errors.As(err, &failure)):
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case tooLarge(err):
		return fmt.Errorf("%s: %w: %s accepts no larger packets: raise its max_allowed_packet, or make the arguments or the result smaller: %w", op, queue.ErrTooLarge, m.Name(), err)
	case isNumber(err, numberInTheWay, numberGivenUp):
		return storekit.Outage(op+": "+m.Name()+": "+storekit.OneLine(err), queue.ErrContended, err)
	case isNumber(err, numberSchema):
		return fmt.Errorf("%s: %w (call Store.Migrate): %w", op, queue.ErrSchema, err)
	case errors.As(err, &connect), m.Broken(err), isNumber(err, numberUnavailable, numberRefused):
		return storekit.Outage(op+": "+queue.ErrUnavailable.Error()+": "+m.Name()+": "+m.explain(err), queue.ErrUnavailable, err)
	case errors.As(err, &failure):
		return fmt.Errorf("%s: %s: %w", op, m.Name(), err)
	}
	return err
}

// tooLarge reports whether a statement was larger than max_allowed_packet. MariaDB
// has an error of no particular number for parameters that are sent apart.
func tooLarge(err error) bool {
	var failure *mysql.MySQLError
	return errors.Is(err, mysql.ErrPktTooLarge) || isNumber(err, numberTooLarge) ||
		errors.As(err, &failure) && failure.Number == 1105 && strings.Contains(failure.Message, "max_allowed_packet")
}

// explain returns in one line what is wrong with the server, and what to check.
func (m *server) explain(err error) string {
	var failure *mysql.MySQLError
	var dns *net.DNSError
	var connect *connectError
	cause, url := storekit.OneLine(err), m.setting("URL")
	switch {
	case isNumber(err, numberRefused):
		errors.As(err, &failure)
		return fmt.Sprintf("the server refused this user or password (%s, error %d): check both in %s, and what the user may do", storekit.OneLine(errors.New(failure.Message)), failure.Number, url)
	case isNumber(err, []uint16{1049}):
		return "there is no such database: create it, or correct the name in " + url
	case isNumber(err, []uint16{1040, 1203, 1226}):
		return cause + ": raise its limit, or lower " + m.setting("MaxConns")
	case isNumber(err, numberReadOnly):
		return "the server is read-only (" + cause + ")"
	case errors.As(err, &failure):
		return cause
	case errors.As(err, &connect) && m.dialed:
		return "it cannot be reached: " + cause
	case errors.As(err, &dns):
		return "the host name is not known: check it in " + url
	case tlserror.Is(err), errors.Is(err, mysql.ErrNoTLS):
		return "no encrypted connection (" + cause + "): check tls in " + url
	case errors.As(err, &connect) && m.config.Net == "unix":
		return "it does not answer (" + cause + "): is it running, and is the socket in " + url + " right? (On Cloud Run the service's Cloud SQL connections must name the instance.)"
	case errors.As(err, &connect):
		return "it does not answer (" + cause + "): is it running, and are host and port in " + url + " right?"
	}
	return "the connection broke (" + cause + ")"
}
