package server

import (
	"context"
	"net"

	"github.com/claimcheck-go/claimcheck/internal/alloydb"
	"github.com/claimcheck-go/claimcheck/internal/cloudsql"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// dialFunc makes the connections of a database driver.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer connects through the connector of Cloud SQL or AlloyDB, if one is
// configured; name is what it connects to.
func (p *program) dialer(rawURL string) (dial dialFunc, name string, err error) {
	s := p.config.Settings
	if err := p.config.CheckConnectors(rawURL); err != nil {
		return nil, "", err
	}
	switch {
	case s.CloudSQLInstance != "":
		connector, err := cloudsql.New(cloudsql.Config{
			Instance: s.CloudSQLInstance, IAMAuth: s.CloudSQLIAMAuth, PrivateIP: s.CloudSQLPrivateIP,
		})
		if err != nil {
			return nil, "", config.Problemf("CLOUD_SQL_INSTANCE", ": %s", err)
		}
		return connector.Dial, "Cloud SQL instance " + s.CloudSQLInstance, nil
	case s.AlloyDBInstance != "":
		connector, err := alloydb.New(alloydb.Config{
			Instance: s.AlloyDBInstance, IAMAuth: s.AlloyDBIAMAuth, Address: s.AlloyDBAddress,
		})
		if err != nil {
			return nil, "", config.Problemf("ALLOYDB_INSTANCE", ": %s", err)
		}
		return connector.Dial, "AlloyDB instance " + s.AlloyDBInstance, nil
	}
	return nil, "", nil
}
