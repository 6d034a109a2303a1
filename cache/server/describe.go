package server

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// connDescription is what stats conns says of a socket.
type connDescription struct {
	fd            int
	address       string // of the client, or of a listener
	listenAddress string // empty for a listener
	state         string
	idle          int // seconds since something came; -1: not said
}

// ending is why a connection ended.
type ending uint8

const (
	endedNormally ending = iota
	endedByError
	endedIdle
	endedByShutdown
	endedNot // it begins
)

// tellConn tells watchers of connections' events that one begins or ends.
func (srv *Server) tellConn(describe func() connDescription, event string, why ending) {
	if srv.watchers.mask.Load()&watchConnEvents == 0 {
		return
	}
	d := describe()
	srv.watchers.tell(watchConnEvents, func(b []byte) []byte {
		host, port, transport := d.address, "0", "local"
		if network, rest, ok := strings.Cut(d.address, ":"); ok && strings.HasPrefix(network, "tcp") {
			transport = "tcp"
			if i := strings.LastIndexByte(rest, ':'); i >= 0 {
				host, port = strings.Trim(rest[:i], "[]"), rest[i+1:]
			}
		}
		b = append(append(append(b, "type="...), event...), " rip="...)
		b = append(append(append(b, host...), " rport="...), port...)
		b = append(append(b, " transport="...), transport...)
		if why != endedNot {
			b = append(append(b, " reason="...), [...]string{"normal", "error", "idle_timeout", "shutdown"}[why]...)
		}
		return strconv.AppendInt(append(b, " cfd="...), int64(d.fd), 10)
	})
}

// describeConns lists the server's sockets as `stats conns` does: name is the socket's
// number, a colon and what is said of it.
func (srv *Server) describeConns(emit func(name, value string)) {
	say := func(d connDescription) {
		prefix := strconv.Itoa(d.fd) + ":"
		emit(prefix+"addr", d.address)
		if d.listenAddress != "" {
			emit(prefix+"listen_addr", d.listenAddress)
		}
		emit(prefix+"state", d.state)
		emit(prefix+"secs_since_last_cmd", strconv.Itoa(d.idle))
	}
	uptime := int(time.Since(srv.started) / time.Second)
	for i, l := range srv.listeners {
		say(connDescription{fd: i, address: addressText(l.address), state: "conn_listening", idle: uptime})
	}
	if srv.loops != nil {
		srv.loops.describe(say)
	}
	srv.streams.describe(srv, say)
}

func (ss *streams) describe(srv *Server, say func(connDescription)) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	i := len(srv.listeners)
	for s := range ss.open {
		d := s.describe()
		d.fd = i
		say(d)
		i++
	}
}

// describe says what a stream is. The net package does not tell its socket's number.
func (s *stream) describe() connDescription {
	return connDescription{
		address: addressText(s.socket.RemoteAddr()), listenAddress: addressText(s.socket.LocalAddr()), state: "conn_read",
		idle: int((time.Since(s.srv.started) - time.Duration(s.seen.Load())) / time.Second),
	}
}

// addressText writes an address as memcached does.
func addressText(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		return ipText("tcp", a.IP, a.Port)
	case *net.UDPAddr:
		return ipText("udp", a.IP, a.Port)
	case *net.UnixAddr:
		return "unix:" + a.Name
	case nil:
		return "unknown"
	}
	return a.String()
}

func ipText(network string, ip net.IP, port int) string {
	if ip.To4() == nil {
		return network + "6:[" + ip.String() + "]:" + strconv.Itoa(port)
	}
	return network + ":" + ip.String() + ":" + strconv.Itoa(port)
}
