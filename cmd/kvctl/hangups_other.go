//go:build !unix

package main

import "os"

// hangups returns where nothing arrives: this system has no SIGHUP.
func hangups() (arrive <-chan os.Signal, stop func()) { return nil, func() {} }

// hangup returns nothing.
func hangup() []os.Signal { return nil }
