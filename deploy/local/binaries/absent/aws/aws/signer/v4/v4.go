// Package v4 stands in for that of Amazon's SDK: see ../../../../README.md.
package v4

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
)

type Signer struct{}

func NewSigner(*credentials.Credentials) *Signer { return &Signer{} }

// Sign always fails.
func (*Signer) Sign(*http.Request, io.ReadSeeker, string, string, time.Time) (http.Header, error) {
	return nil, errors.New("this build cannot sign requests to Amazon's services")
}
