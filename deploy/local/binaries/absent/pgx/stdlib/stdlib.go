// Package stdlib stands in for that of a PostgreSQL driver: see ../../README.md. It registers no driver, so
// database/sql refuses to open a PostgreSQL store.
package stdlib
