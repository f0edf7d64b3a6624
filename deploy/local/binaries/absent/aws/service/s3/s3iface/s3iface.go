// Package s3iface stands in for that of Amazon's SDK: see ../../../../README.md.
package s3iface

import "github.com/aws/aws-sdk-go/service/s3"

type S3API = s3.Client
