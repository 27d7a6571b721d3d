package config

import (
	"net/url"
	"strings"
)

// CheckConnectors refuses settings of connectors that contradict each other, or
// the URL.
func (c *Config) CheckConnectors(rawURL string) error {
	s := c.Settings
	scheme, _, _ := strings.Cut(rawURL, ":")
	switch {
	case s.CloudSQLInstance != "" && s.AlloyDBInstance != "":
		return Problemf("CLOUD_SQL_INSTANCE", "and ALLOYDB_INSTANCE exclude each other: set the one of the database that DATABASE_URL means")
	case s.CloudSQLInstance != "" && scheme == "sqlite":
		return Problemf("CLOUD_SQL_INSTANCE", "needs DATABASE_URL=postgres://USER:PASSWORD@/NAME, or mysql://")
	case s.AlloyDBInstance != "" && scheme != "postgres" && scheme != "postgresql":
		return Problemf("ALLOYDB_INSTANCE", "needs DATABASE_URL=postgres://USER:PASSWORD@/NAME")
	case s.AlloyDBInstance == "" && s.AlloyDBIAMAuth:
		return Problemf("ALLOYDB_IAM_AUTH", "needs ALLOYDB_INSTANCE")
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
	return Problemf(setting, ": in DATABASE_URL the user of a service account is only a part of its e-mail: write %s", url.QueryEscape(account))
}
