// Package mysql stands in for the MySQL driver: see ../README.md. It registers no driver, so database/sql refuses to
// open a MySQL store.
package mysql

import (
	"crypto/tls"
	"errors"
)

// MySQLError is returned by nothing.
type MySQLError struct{ Number uint16 }

func (*MySQLError) Error() string { return "MySQL error" }

type Config struct {
	User, Passwd, Addr, DBName, Net string
	Params                          map[string]string
	RejectReadOnly                  bool
}

func NewConfig() *Config { return &Config{} }

// FormatDSN gives a name of a database that no driver opens.
func (*Config) FormatDSN() string { return "" }

// RegisterTLSConfig always fails.
func RegisterTLSConfig(string, *tls.Config) error {
	return errors.New("this build has no MySQL driver")
}
