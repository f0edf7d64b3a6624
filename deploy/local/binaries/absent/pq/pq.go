// Package pq stands in for a PostgreSQL driver: see ../README.md. It registers no driver, so database/sql refuses to
// open a PostgreSQL store.
package pq

// Error is returned by nothing.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Message }
