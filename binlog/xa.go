package binlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
)

// XID names an XA transaction, as the X/Open standard has it. The zero value
// names none. It is comparable.
type XID struct {
	Named  bool // it names one: all that follows may well be zero (XA START '','',0)
	Format int64
	Global int    // bytes of Data that are the global part; the branch qualifier is the rest
	Data   string // at most 128 bytes
}

// IsZero tells whether x names no transaction.
func (x XID) IsZero() bool { return !x.Named }

// String gives the XID as SQL takes it: X'global',X'branch',format.
func (x XID) String() string {
	return fmt.Sprintf("X'%x',X'%x',%d", x.Data[:x.Global], x.Data[x.Global:], x.Format)
}

// parseXAPrepare reads an XA_prepare event (XA_prepare_event in
// control_events.h): whether it is one-phase, that is a commit, and the XID.
func parseXAPrepare(b []byte) (x XID, onePhase bool, err error) {
	if len(b) < 13 {
		return x, false, errShort
	}
	global, branch := binary.LittleEndian.Uint32(b[5:]), binary.LittleEndian.Uint32(b[9:])
	if global > 64 || branch > 64 || len(b) < 13+int(global+branch) {
		return x, false, errShort
	}
	x = XID{
		Named:  true,
		Format: int64(binary.LittleEndian.Uint32(b[1:])),
		Global: int(global),
		Data:   string(b[13 : 13+int(global+branch)]),
	}
	return x, b[0] != 0, nil
}

// parseXAStatement reads what servers log around an XA transaction: XA START, XA
// END, XA COMMIT or XA ROLLBACK, and an XID with its parts in hexadecimal. ok is
// false for any other statement.
func parseXAStatement(text []byte) (verb string, x XID, ok bool) {
	b, ok := word(text, "XA")
	if !ok {
		return "", x, false
	}
	for _, v := range []string{"START", "END", "COMMIT", "ROLLBACK"} {
		rest, ok := word(b, v)
		if !ok {
			continue
		}
		x, ok := parseXID(rest)
		return v, x, ok
	}
	return "", x, false
}

// parseXID reads X'…',X'…',n; what a server leaves out is empty or 1.
func parseXID(b []byte) (x XID, ok bool) {
	x.Named, x.Format = true, 1
	for i := range 3 {
		b = bytes.TrimLeft(b, " ")
		if i == 2 {
			n := 0
			for n < len(b) && (b[n] == '-' || b[n] >= '0' && b[n] <= '9') {
				n++
			}
			f, err := strconv.ParseInt(string(b[:n]), 10, 64)
			if err != nil {
				return XID{}, false
			}
			x.Format = f
			b = b[n:]
		} else {
			part, rest, good := parseHexLiteral(b)
			if !good {
				return XID{}, false
			}
			if i == 0 {
				x.Global = len(part)
			}
			x.Data += string(part)
			b = rest
		}
		b = bytes.TrimLeft(b, " ")
		if len(b) == 0 || b[0] != ',' {
			break
		}
		b = b[1:]
	}
	// ONE PHASE may follow.
	return x, true
}

func parseHexLiteral(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 3 || b[0]|0x20 != 'x' || b[1] != '\'' {
		return nil, nil, false
	}
	end := bytes.IndexByte(b[2:], '\'')
	if end < 0 || end > 128 {
		return nil, nil, false
	}
	part = make([]byte, end/2)
	if _, err := hex.Decode(part, b[2:2+end]); err != nil {
		return nil, nil, false
	}
	return part, b[2+end+1:], true
}
