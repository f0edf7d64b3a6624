// Package aws stands in for Amazon's SDK: see ../../README.md.
package aws

import "github.com/aws/aws-sdk-go/aws/credentials"

type LogLevelType uint

type Config struct {
	Credentials      *credentials.Credentials
	Endpoint         *string
	Region           *string
	S3ForcePathStyle *bool
	LogLevel         *LogLevelType
}

func String(value string) *string { return &value }
func Bool(value bool) *bool       { return &value }
func Int64(value int64) *int64    { return &value }
