// Package credentials stands in for that of Amazon's SDK: see ../../../README.md.
package credentials

type Credentials struct{}

// NewStaticCredentials panics: whoever needs it would sign requests with it.
func NewStaticCredentials(string, string, string) *Credentials {
	panic("this build cannot sign requests to Amazon's services")
}

// NewEnvCredentials panics like NewStaticCredentials.
func NewEnvCredentials() *Credentials {
	panic("this build cannot sign requests to Amazon's services")
}
