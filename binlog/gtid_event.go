package binlog

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

var errShort = errors.New("the event ends too early")

// parseGTIDEvent reads a GTID or anonymous GTID event of MySQL (Gtid_event in
// control_events.h): flags, UUID, number, the logical clock, and, since 8.0.1,
// the commit time in microseconds. An anonymous one leaves t.GTID zero.
func parseGTIDEvent(e *event, t *Transaction) error {
	const fixed = 1 + 16 + 8
	if len(e.body) < fixed {
		return errShort
	}
	t.Time = int64(e.timestamp) * 1e6
	if e.kind == typeGTID {
		t.GTID.Flavor = MySQL
		copy(t.GTID.SID[:], e.body[1:17])
		t.GTID.Seq = binary.LittleEndian.Uint64(e.body[17:])
	}
	const clock = 1 + 8 + 8
	if b := e.body[fixed:]; len(b) >= clock+7 && b[0] == 2 {
		b = b[clock:]
		us := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48
		// The top bit says that the original's time follows.
		if us &^= 1 << 55; us != 0 {
			t.Time = int64(us)
		}
	}
	return nil
}

// parseTaggedGTIDEvent reads MySQL 8.3's GTID event with a tag. Its body is a
// message in the mysql::serialization format (libs/mysql/serialization in the
// server's source): a version, the size, the last field that must be understood,
// then numbered fields, all in integers of variable length.
func parseTaggedGTIDEvent(e *event, t *Transaction) error {
	r := varReader{b: e.body}
	r.uint() // version
	r.uint() // size
	r.uint() // last non-ignorable field
	t.Time = int64(e.timestamp) * 1e6
	t.GTID.Flavor = MySQL
	for len(r.b) > 0 && r.err == nil {
		switch id := r.uint(); id {
		case 0: // flags
			r.uint()
		case 1: // UUID
			for i := range t.GTID.SID {
				t.GTID.SID[i] = byte(r.uint())
			}
		case 2:
			t.GTID.Seq = uint64(r.int())
		case 3:
			tag := r.bytes(r.uint())
			if string(tag) != t.GTID.Tag {
				t.GTID.Tag = string(tag)
			}
		case 4, 5: // the logical clock
			r.int()
		case 6:
			t.Time = int64(r.uint())
			return r.err // nothing behind the commit time is needed
		default:
			return errors.New("the tagged GTID event has its fields in an unknown order")
		}
	}
	if r.err != nil {
		return r.err
	}
	return errShort
}

// varReader reads mysql::serialization's integers: as many low bits set in the
// first byte as further bytes follow.
type varReader struct {
	b   []byte
	err error
}

func (r *varReader) uint() uint64 {
	if r.err != nil || len(r.b) == 0 {
		r.fail()
		return 0
	}
	n := bits.TrailingZeros8(^r.b[0]) // bytes behind the first
	if len(r.b) < n+1 {
		r.fail()
		return 0
	}
	var v uint64
	if n == 8 {
		v = binary.LittleEndian.Uint64(r.b[1:])
	} else {
		for i := n; i >= 0; i-- {
			v = v<<8 | uint64(r.b[i])
		}
		v >>= n + 1
	}
	r.b = r.b[n+1:]
	return v
}

// int reads a signed integer: its sign is the lowest bit.
func (r *varReader) int() int64 {
	u := r.uint()
	v := int64(u >> 1)
	if u&1 != 0 {
		return ^v
	}
	return v
}

func (r *varReader) bytes(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *varReader) fail() {
	if r.err == nil {
		r.err = errShort
	}
}

// Flags of MariaDB's GTID event (Gtid_log_event in sql/log_event.h).
const (
	mariaStandalone  = 1
	mariaGroupCommit = 2
	mariaPreparedXA  = 64
	mariaCompletedXA = 128
)

// parseMariaGTIDEvent reads MariaDB's GTID event and returns its flags. For an
// XA transaction it names it in t.XID.
func parseMariaGTIDEvent(e *event, t *Transaction) (flags byte, err error) {
	b := e.body
	if len(b) < 8+4+1 {
		return 0, errShort
	}
	t.Time = int64(e.timestamp) * 1e6
	t.GTID = GTID{
		Flavor: MariaDB,
		Seq:    binary.LittleEndian.Uint64(b),
		Domain: binary.LittleEndian.Uint32(b[8:]),
		Server: e.serverID,
	}
	flags = b[12]
	b = b[13:]
	if flags&mariaGroupCommit != 0 {
		if len(b) < 8 {
			return 0, errShort
		}
		b = b[8:]
	}
	if flags&(mariaPreparedXA|mariaCompletedXA) != 0 {
		if len(b) < 6 {
			return 0, errShort
		}
		x := XID{
			Named:  true,
			Format: int64(binary.LittleEndian.Uint32(b)),
			Global: int(b[4]),
		}
		n := int(b[4]) + int(b[5])
		if len(b) < 6+n {
			return 0, errShort
		}
		x.Data = string(b[6 : 6+n])
		t.XID = x
	}
	return flags, nil
}
