// Package option stands in for that of Google's API client: see ../../README.md.
package option

// WithTokenSource gives an option for a client that cannot be made.
func WithTokenSource(any) any { return nil }
