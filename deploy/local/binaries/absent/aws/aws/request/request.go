// Package request stands in for that of Amazon's SDK: see ../../../README.md.
package request

// Option is taken by calls that cannot be made.
type Option func()

// IsErrorRetryable is asked about errors of calls that cannot be made.
func IsErrorRetryable(error) bool { return false }

// IsErrorThrottle is asked about errors of calls that cannot be made.
func IsErrorThrottle(error) bool { return false }
