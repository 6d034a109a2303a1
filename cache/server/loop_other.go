//go:build !linux || !(amd64 || arm64 || loong64 || ppc64le || riscv64)

package server

import "time"

// haveLoops says that connections are served by event loops: not on this system, where a
// goroutine serves each.
const haveLoops = false

type loops struct{}

func startLoops(*Server) (*loops, error) { return &loops{}, nil }

func (*loops) drain(time.Time) {}

func (*loops) describe(func(connDescription)) {}

func (srv *Server) acceptAll(l *listener) { srv.acceptStreams(l) }
