// Package pgconn stands in for that of a PostgreSQL driver: see ../../README.md.
package pgconn

// PgError is returned by nothing.
type PgError struct{ Code, Message string }

func (e *PgError) Error() string { return e.Message }
