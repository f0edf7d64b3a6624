// Package s3 stands in for Amazon's client of S3: see ../../../README.md.
package s3

import (
	"context"
	"io"

	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
)

const (
	ErrCodeNoSuchBucket = "NoSuchBucket"
	ErrCodeNoSuchKey    = "NoSuchKey"
)

type (
	HeadBucketInput  struct{ Bucket *string }
	HeadBucketOutput struct{}
	HeadObjectInput  struct{ Bucket, Key *string }
	HeadObjectOutput struct{}
	GetObjectInput   struct{ Bucket, Key *string }
	GetObjectOutput  struct{ Body io.ReadCloser }
	PutObjectInput   struct {
		Bucket, Key *string
		Body        io.ReadSeeker
	}
	PutObjectOutput    struct{}
	ListObjectsV2Input struct {
		Bucket, Prefix, Delimiter, ContinuationToken *string
		MaxKeys                                      *int64
	}
	ListObjectsV2Output struct {
		CommonPrefixes        []*CommonPrefix
		Contents              []*Object
		IsTruncated           *bool
		NextContinuationToken *string
	}
	CommonPrefix struct{ Prefix *string }
	Object       struct{ Key *string }
)

// Client is the part of S3 that the server would use.
type Client interface {
	HeadBucketWithContext(context.Context, *HeadBucketInput, ...request.Option) (*HeadBucketOutput, error)
	HeadObjectWithContext(context.Context, *HeadObjectInput, ...request.Option) (*HeadObjectOutput, error)
	GetObjectWithContext(context.Context, *GetObjectInput, ...request.Option) (*GetObjectOutput, error)
	PutObjectWithContext(context.Context, *PutObjectInput, ...request.Option) (*PutObjectOutput, error)
	ListObjectsV2WithContext(context.Context, *ListObjectsV2Input, ...request.Option) (*ListObjectsV2Output, error)
}

// New panics: it needs a session, and none can be made.
func New(*session.Session) Client { panic("this build has no client for S3") }
