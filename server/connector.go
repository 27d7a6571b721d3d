package server

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/claimcheck-go/claimcheck/internal/alloydb"
	"github.com/claimcheck-go/claimcheck/internal/cloudsql"
)

// dialFunc makes the connections of a database driver.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer connects through the connector of Cloud SQL or AlloyDB, if one is
// configured; name is what it connects to.
func (p *program) dialer(rawURL string) (dial dialFunc, name string, err error) {
	s := p.settings
	if err := p.checkConnectors(rawURL); err != nil {
		return nil, "", err
	}
	switch {
	case s.CloudSQLInstance != "":
		connector, err := cloudsql.New(cloudsql.Config{
			Instance: s.CloudSQLInstance, IAMAuth: s.CloudSQLIAMAuth, PrivateIP: s.CloudSQLPrivateIP,
		})
		if err != nil {
			return nil, "", usagef("CLOUD_SQL_INSTANCE: %w", err)
		}
		return connector.Dial, "Cloud SQL instance " + s.CloudSQLInstance, nil
	case s.AlloyDBInstance != "":
		connector, err := alloydb.New(alloydb.Config{
			Instance: s.AlloyDBInstance, IAMAuth: s.AlloyDBIAMAuth, Address: s.AlloyDBAddress,
		})
		if err != nil {
			return nil, "", usagef("ALLOYDB_INSTANCE: %w", err)
		}
		return connector.Dial, "AlloyDB instance " + s.AlloyDBInstance, nil
	}
	return nil, "", nil
}

// checkConnectors refuses settings of connectors that contradict each other, or
// the URL.
func (p *program) checkConnectors(rawURL string) error {
	s := p.settings
	scheme, _, _ := strings.Cut(rawURL, ":")
	switch {
	case s.CloudSQLInstance != "" && s.AlloyDBInstance != "":
		return usagef("CLOUD_SQL_INSTANCE and ALLOYDB_INSTANCE exclude each other: set the one of the database that DATABASE_URL means")
	case s.CloudSQLInstance != "" && scheme == "sqlite":
		return usagef("CLOUD_SQL_INSTANCE needs DATABASE_URL=postgres://USER:PASSWORD@/NAME, or mysql://")
	case s.AlloyDBInstance != "" && scheme != "postgres" && scheme != "postgresql":
		return usagef("ALLOYDB_INSTANCE needs DATABASE_URL=postgres://USER:PASSWORD@/NAME")
	case s.AlloyDBInstance == "" && s.AlloyDBIAMAuth:
		return usagef("ALLOYDB_IAM_AUTH needs ALLOYDB_INSTANCE")
	}
	if s.CloudSQLInstance != "" && s.CloudSQLIAMAuth {
		return checkIAMUser("CLOUD_SQL_IAM_AUTH", rawURL)
	}
	if s.AlloyDBInstance != "" && s.AlloyDBIAMAuth {
		return checkIAMUser("ALLOYDB_IAM_AUTH", rawURL)
	}
	return nil
}

// checkIAMUser refuses the e-mail of a service account as the user: the databases
// know it by a part of that.
func checkIAMUser(setting, rawURL string) error {
	u, _ := url.Parse(rawURL) // the store says what is wrong with it
	if u == nil || u.User == nil {
		return nil
	}
	account, isAccount := strings.CutSuffix(u.User.Username(), ".gserviceaccount.com")
	if !isAccount {
		return nil
	}
	if u.Scheme == "mysql" {
		account, _, _ = strings.Cut(account, "@")
	}
	return usagef("%s: in DATABASE_URL the user of a service account is only a part of its e-mail: write %s", setting, url.QueryEscape(account))
}
