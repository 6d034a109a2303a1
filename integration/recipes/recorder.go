package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"sync"
)

// recorder stands between an application and its database and notes the statements
// that pass, byte for byte as the library sent them: a server's own log of queries
// has lost what stood behind a semicolon by then, and shows parameters put in.
type recorder struct {
	listener net.Listener
	database string // address
	running  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	sent  []statement
	conns map[net.Conn]struct{} // open ones; nil once closed
	err   error                 // the first thing that was not understood
}

// statement is one that a library sent.
type statement struct {
	Text string `json:"sent"`
	// Prepared: by COM_STMT_PREPARE, with Args in COM_STMT_EXECUTE. Else by COM_QUERY.
	Prepared bool  `json:"prepared,omitempty"`
	Args     []arg `json:"args,omitempty"`
	// Logged is what the server wrote into its binary log of it.
	Logged string `json:"logged"`
}

// arg is a parameter: its type as the protocol names it, and its value as text.
type arg struct {
	Type  string `json:"type"` // "int", "double", "text" or "null"
	Value string `json:"value"`
}

// Of the protocol: https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
const (
	comQuery       = 3
	comStmtPrepare = 22
	comStmtExecute = 23

	clientCompress        = 1 << 5
	clientSSL             = 1 << 11
	clientQueryAttributes = 1 << 27
	clientZstd            = 1 << 26
)

// record starts a recorder in front of a database.
func record(database string) (*recorder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	r := &recorder{listener: l, database: database, conns: make(map[net.Conn]struct{})}
	r.running.Go(r.accept)
	return r, nil
}

func (r *recorder) port() int {
	addr, ok := r.listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return addr.Port
}

// close ends every connection and gives what was sent.
func (r *recorder) close() ([]statement, error) {
	_ = r.listener.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.running.Wait()
	return r.sent, r.err
}

func (r *recorder) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial("tcp", r.database)
		if err != nil {
			r.fail(fmt.Errorf("dial the database: %w", err))
			_ = client.Close()
			continue
		}
		r.mu.Lock()
		if r.conns == nil {
			_, _ = client.Close(), server.Close()
		} else {
			r.conns[client], r.conns[server] = struct{}{}, struct{}{}
			s := &conversation{recorder: r, prepared: make(map[uint32]preparation)}
			s.answered.L = &s.mu
			r.running.Go(func() { r.pass(client, server, s.fromClient) })
			r.running.Go(func() {
				r.pass(server, client, s.fromServer)
				s.mu.Lock()
				s.preparing = "" // there will be no answer
				s.answered.Broadcast()
				s.mu.Unlock()
			})
		}
		r.mu.Unlock()
	}
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// pass hands packets on until either end closes. look may change a packet.
func (r *recorder) pass(from, to net.Conn, look func(sequence byte, payload []byte) error) {
	defer func() { _, _ = from.Close(), to.Close() }()
	in := bufio.NewReader(from)
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		packet := make([]byte, 4+(int(head[0])|int(head[1])<<8|int(head[2])<<16))
		copy(packet, head[:])
		if _, err := io.ReadFull(in, packet[4:]); err != nil {
			return
		}
		if err := look(head[3], packet[4:]); err != nil {
			r.fail(err)
		}
		if _, err := to.Write(packet); err != nil {
			return
		}
	}
}

// conversation is what one connection has said so far.
type conversation struct {
	*recorder

	mu         sync.Mutex // guards what follows: both directions look at it
	greeted    bool
	offered    uint32 // what the server can
	attributes bool   // each statement comes with attributes, if only none
	preparing  string // what the server has not answered yet
	answered   sync.Cond
	prepared   map[uint32]preparation
}

// lastPrepared is the number by which MariaDB's clients execute what they have just
// prepared, without waiting for its own.
const lastPrepared = 0xffffffff

type preparation struct {
	text   string
	params int
	types  []uint16 // as last bound
}

// fromServer sees what the server says: its greeting, from which it takes what would
// hide the rest, and its answers to what is prepared.
func (c *conversation) fromServer(sequence byte, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.greeted {
		c.greeted = true
		var err error
		c.offered, err = veil(p)
		return err
	}
	if c.preparing == "" || sequence != 1 {
		return nil
	}
	if len(p) >= 9 && p[0] == 0 {
		s := preparation{text: c.preparing, params: int(binary.LittleEndian.Uint16(p[7:]))}
		c.prepared[binary.LittleEndian.Uint32(p[1:])], c.prepared[lastPrepared] = s, s
	}
	c.preparing = ""
	c.answered.Broadcast()
	return nil
}

// veil takes TLS and compression out of what a server's greeting offers, and gives
// what is left.
func veil(p []byte) (uint32, error) {
	end := 1
	for end < len(p) && p[end] != 0 { // behind the version
		end++
	}
	low, high := end+1+4+8+1, end+1+4+8+1+2+1+2
	if len(p) < high+2 {
		return 0, errors.New("a greeting that is too short")
	}
	flags := uint32(binary.LittleEndian.Uint16(p[low:])) | uint32(binary.LittleEndian.Uint16(p[high:]))<<16
	flags &^= clientSSL | clientCompress | clientZstd
	binary.LittleEndian.PutUint16(p[low:], uint16(flags))
	binary.LittleEndian.PutUint16(p[high:], uint16(flags>>16))
	return flags, nil
}

// fromClient notes the statements. A command begins with sequence 0; the first packet
// of all, which has 1, says what the client can.
func (c *conversation) fromClient(sequence byte, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sequence != 0 || len(p) == 0 {
		if sequence == 1 && len(p) >= 4 {
			c.attributes = binary.LittleEndian.Uint32(p)&c.offered&clientQueryAttributes != 0
		}
		return nil
	}
	switch f := (&fields{rest: p[1:]}); p[0] {
	case comQuery:
		if c.attributes {
			if f.length() != 0 || f.length() != 1 || f.err != nil {
				return errors.New("a statement has attributes")
			}
		}
		c.note(statement{Text: string(f.rest)})
	case comStmtPrepare:
		c.preparing = string(p[1:])
	case comStmtExecute:
		for c.preparing != "" {
			c.answered.Wait()
		}
		id := uint32(f.number(4))
		flags := f.number(1)
		f.number(4) // iterations, always 1
		s := c.prepared[id]
		args, err := s.bound(f, c.attributes && flags&8 != 0)
		if err != nil {
			return fmt.Errorf("parameters of %q: %w", s.text, err)
		}
		c.prepared[id] = s
		c.note(statement{Text: s.text, Prepared: true, Args: args})
	}
	return nil
}

func (c *conversation) note(s statement) {
	c.recorder.mu.Lock()
	defer c.recorder.mu.Unlock()
	c.sent = append(c.sent, s)
}

// bound reads the parameters of an execution; s keeps their types for the next.
func (s *preparation) bound(f *fields, attributes bool) ([]arg, error) {
	n := s.params
	if attributes {
		n = f.length()
	}
	if n != s.params {
		return nil, errors.New("attributes among them")
	}
	if n == 0 {
		return nil, f.err
	}
	null := f.take((n + 7) / 8)
	if f.number(1) == 1 {
		s.types = make([]uint16, n)
		for i := range s.types {
			s.types[i] = uint16(f.number(2))
			if attributes {
				f.take(f.length()) // its name
			}
		}
	}
	if f.err != nil || len(s.types) != n {
		return nil, errors.New("they have no types")
	}
	args := make([]arg, n)
	for i, t := range s.types {
		if null[i/8]&(1<<(i%8)) != 0 {
			args[i] = arg{Type: "null"}
			continue
		}
		args[i] = f.value(t)
	}
	return args, f.err
}

// fields takes the protocol's values off the front. After an error all are zero.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		f.err = io.ErrUnexpectedEOF
		return make([]byte, n)
	}
	p := f.rest[:n]
	f.rest = f.rest[n:]
	return p
}

func (f *fields) number(size int) (v uint64) {
	for i, b := range f.take(size) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// length is an integer whose first byte says how long it is.
func (f *fields) length() int {
	switch n := f.number(1); n {
	case 0xfc:
		return int(f.number(2))
	case 0xfd:
		return int(f.number(3))
	default:
		return int(n)
	}
}

func (f *fields) value(t uint16) arg {
	integer := func(size int) arg {
		v := f.number(size)
		if t&0x8000 != 0 {
			return arg{"int", strconv.FormatUint(v, 10)}
		}
		shift := 64 - 8*size
		return arg{"int", strconv.FormatInt(int64(v<<shift)>>shift, 10)}
	}
	switch t & 0xff {
	case 1:
		return integer(1)
	case 2:
		return integer(2)
	case 3:
		return integer(4)
	case 8:
		return integer(8)
	case 5:
		return arg{"double", strconv.FormatFloat(math.Float64frombits(f.number(8)), 'g', -1, 64)}
	case 6:
		return arg{Type: "null"}
	case 0, 15, 246, 249, 250, 251, 252, 253, 254: // decimals, and all kinds of strings
		return arg{"text", string(f.take(f.length()))}
	}
	f.err = fmt.Errorf("one of type %d", t&0xff)
	return arg{}
}
