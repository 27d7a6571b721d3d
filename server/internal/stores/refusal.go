package stores

import (
	"errors"
	"slices"

	driver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
)

// Refusal is what a database server answered instead of a connection.
type Refusal int

// The refusals.
const (
	NoAnswer     Refusal = iota // there is none: the server did not answer, or err is no refusal
	NoDatabase                  // it has no database of that name
	NoUser                      // it does not accept the user or the password
	OtherRefusal                // err says what it is
)

// RefusalOf classifies the error of opening or reading a database.
func RefusalOf(err error) Refusal {
	var pg *pgconn.PgError
	var my *driver.MySQLError
	switch {
	case errors.As(err, &pg):
		switch pg.Code {
		case pgerrcode.InvalidCatalogName:
			return NoDatabase
		case pgerrcode.InvalidPassword, pgerrcode.InvalidAuthorizationSpecification:
			return NoUser
		}
	case errors.As(err, &my):
		switch {
		case my.Number == 1049:
			return NoDatabase
		case slices.Contains([]uint16{1044, 1045, 1698}, my.Number):
			return NoUser
		}
	default:
		return NoAnswer
	}
	return OtherRefusal
}
