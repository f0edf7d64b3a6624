// Package awserr stands in for that of Amazon's SDK: see ../../../README.md.
package awserr

// Error is returned by nothing.
type Error interface {
	error
	Code() string
	OrigErr() error
}

// RequestFailure is returned by nothing.
type RequestFailure interface {
	Error
	StatusCode() int
}
