// Package storekit is what the stores of this module share: connections that are
// kept for urgent calls, retries of locked rows, migrations, and the parts of
// lists, promotions and bulk actions that do not depend on the database.
package storekit
