package server

import "errors"

func (srv *Server) serveDatagrams(l *listener) error { return errors.ErrUnsupported }
