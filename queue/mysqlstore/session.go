package mysqlstore

import (
	"strconv"

	"github.com/go-sql-driver/mysql"
)

// tableLockWait is how many seconds a statement waits for a table; the server's
// own limit is a day or more.
const tableLockWait = 8

// session sets what every connection works under.
func session(c *mysql.Config) {
	c.ClientFoundRows = true   // an UPDATE that changes nothing has found its row all the same
	c.InterpolateParams = true // one round trip for a statement, not two
	c.ParseTime = true         // goose's times
	c.MaxAllowedPacket = 0     // ask the server, so that a task that is too large gets an error
	c.RejectReadOnly = false   // Broken handles it, and keeps the reason
	c.Logger = &mysql.NopLogger{}
	_ = c.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")) // it cannot fail
	c.Params = map[string]string{
		// Strict: a value that does not fit is an error, and not cut off.
		"sql_mode":  "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
		"time_zone": "'+00:00'",
		// A statement outside a transaction is one of its own, whatever the
		// server's default is.
		"autocommit": "1",
		// Rows are locked for milliseconds. Only a finish, and an insert under an
		// ID that another transaction is inserting, wait for one that stays locked,
		// and hold a connection meanwhile: as briefly as MySQL can.
		"innodb_lock_wait_timeout": "1",
		// A table that another transaction or LOCK TABLES holds.
		"lock_wait_timeout": strconv.Itoa(tableLockWait),
	}
}
