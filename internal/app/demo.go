package app

import (
	"context"
	"errors"
)

func demo(context.Context, Options) error        { return errors.New("x") }
func demoService(context.Context, Options) error { return errors.New("x") }
func check(context.Context, Options) error       { return errors.New("x") }
