package server

import (
	"encoding/binary"
	"errors"
	"net"
)

// Datagrams carry requests and answers behind a frame of four 16-bit numbers, of which
// the first is the request's and comes back with the answer:
//
//	request id │ sequence │ datagrams in all │ 0
//
// A request is one datagram, an answer as many as it takes, of at most maxDatagram bytes
// each. Whoever sent a request cannot be known, so only reads are answered (Session.udp),
// and an answer is bounded: it may go to somebody who never asked.
const (
	frameSize   = 8
	maxDatagram = 1400
	// maxAnswer is how many datagrams an answer may take.
	maxAnswer = 64
	// maxRequest is how large a datagram can be.
	maxRequest = 64 << 10
)

// tooLargeForUDP is the answer instead of one that takes more than maxAnswer datagrams.
const tooLargeForUDP = "SERVER_ERROR the answer is too large for datagrams: ask over TCP\r\n"

// datagrams answers requests that come as datagrams. It belongs to one goroutine.
type datagrams struct {
	srv     *Server
	tally   *tally
	session Session
	out     Output
}

// answer appends the answer to a request, in datagrams of maxDatagram bytes and a last one
// that may be shorter. It appends nothing to what is not a request.
func (d *datagrams) answer(request, to []byte) []byte {
	d.srv.conns.datagrams.Add(1)
	if len(request) <= frameSize || binary.BigEndian.Uint16(request[2:]) != 0 || binary.BigEndian.Uint16(request[4:]) != 1 ||
		isAnswer(request[frameSize:]) {
		d.srv.conns.badDatagrams.Add(1)
		return to
	}
	id := binary.BigEndian.Uint16(request)
	d.session = *newSession(d.srv, d.tally)
	d.session.udp = true
	d.session.Consume(request[frameSize:], &d.out)
	if d.out.Len() > maxAnswer*(maxDatagram-frameSize) || d.out.Full() {
		d.out.Release(d.srv.store)
		d.out.Bytes = append(d.out.Bytes, tooLargeForUDP...)
	}
	to = d.frame(id, to)
	d.out.Release(d.srv.store)
	d.session.Close()
	return to
}

// isAnswer reports whether a datagram has what a server would say, and no client. If such
// were answered, be it with an error, somebody could make two servers answer each other for
// ever, by one datagram to the first in the name of the second.
func isAnswer(text []byte) bool { return text[0] >= 'A' && text[0] <= 'Z' }

// frame appends what is in out as datagrams.
func (d *datagrams) frame(id uint16, to []byte) []byte {
	const room = maxDatagram - frameSize
	total := (d.out.Len() + room - 1) / room
	sequence, left := 0, 0 // left: of the datagram at hand
	add := func(p []byte) {
		for len(p) > 0 {
			if left == 0 {
				to = binary.BigEndian.AppendUint16(to, id)
				to = binary.BigEndian.AppendUint16(to, uint16(sequence))
				to = binary.BigEndian.AppendUint16(to, uint16(total))
				to = append(to, 0, 0)
				sequence, left = sequence+1, room
			}
			n := min(len(p), left)
			to = append(to, p[:n]...)
			p, left = p[n:], left-n
		}
	}
	at := 0
	for _, p := range d.out.pins {
		add(d.out.Bytes[at:p.at])
		add(p.data)
		at = p.at
	}
	add(d.out.Bytes[at:])
	return to
}

// serveDatagrams answers the datagrams of a listener until it is closed, where no event
// loops do.
func (srv *Server) serveDatagrams(l *listener) {
	d := datagrams{srv: srv, tally: srv.tallies[srv.options.Threads]}
	request, answer := make([]byte, maxRequest), []byte(nil)
	for {
		n, from, err := l.packets.ReadFrom(request)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !srv.pause(err) {
				return
			}
			continue
		}
		answer = d.answer(request[:n], answer[:0])
		for rest := answer; len(rest) > 0; {
			size := min(len(rest), maxDatagram)
			if _, err := l.packets.WriteTo(rest[:size], from); err != nil {
				break // a datagram may get lost
			}
			rest = rest[size:]
		}
	}
}
