// Package storage stands in for the client of Google's Cloud Storage: see ../README.md.
package storage

import (
	"context"
	"errors"
)

// ScopeFullControl is never sent anywhere.
const ScopeFullControl = "absent"

var errAbsent = errors.New("this build has no client for Google Cloud Storage")

type (
	Client         struct{}
	BucketHandle   struct{}
	BucketAttrs    struct{}
	ObjectHandle   struct{}
	ObjectIterator struct{}
	ObjectAttrs    struct{ Name string }
	Query          struct{ Prefix string }
	Reader         struct{}
	Writer         struct{}
)

// NewClient always fails: there is no client on which anything else could be called.
func NewClient(context.Context, ...any) (*Client, error) { return nil, errAbsent }

func (*Client) Bucket(string) *BucketHandle                           { panic(errAbsent) }
func (*BucketHandle) Object(string) *ObjectHandle                     { panic(errAbsent) }
func (*BucketHandle) Objects(context.Context, *Query) *ObjectIterator { panic(errAbsent) }
func (*BucketHandle) Attrs(context.Context) (*BucketAttrs, error)     { panic(errAbsent) }
func (*ObjectHandle) NewWriter(context.Context) *Writer               { panic(errAbsent) }
func (*ObjectHandle) NewReader(context.Context) (*Reader, error)      { panic(errAbsent) }
func (*ObjectHandle) Attrs(context.Context) (*ObjectAttrs, error)     { panic(errAbsent) }
func (*ObjectIterator) Next() (*ObjectAttrs, error)                   { panic(errAbsent) }
func (*Reader) Read([]byte) (int, error)                              { panic(errAbsent) }
func (*Reader) Close() error                                          { panic(errAbsent) }
func (*Writer) Write([]byte) (int, error)                             { panic(errAbsent) }
func (*Writer) Close() error                                          { panic(errAbsent) }
func (*Writer) CloseWithError(error) error                            { panic(errAbsent) }
