// Package iterator stands in for that of Google's API client: see ../../README.md.
package iterator

import "errors"

// Done ends an iteration that cannot begin.
var Done = errors.New("no more items in iterator")
