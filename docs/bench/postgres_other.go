//go:build !unix

package main

import (
	"context"
	"errors"
)

func startPostgres(context.Context, string) (func(string) (string, error), func() error, error) {
	return nil, nil, errors.ErrUnsupported
}
