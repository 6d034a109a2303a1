package binlog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Flavor says whose log it is. The zero value is "not known".
type Flavor uint8

// The flavors of server whose logs are read.
const (
	FlavorUnknown Flavor = iota
	MySQL
	MariaDB
)

// String is "mysql" or "mariadb", as ParseFlavor reads it, or "unknown".
func (f Flavor) String() string {
	switch f {
	case MySQL:
		return "mysql"
	case MariaDB:
		return "mariadb"
	default:
		return "unknown"
	}
}

// ParseFlavor reads "mysql" or "mariadb".
func ParseFlavor(s string) (Flavor, error) {
	switch s {
	case "mysql":
		return MySQL, nil
	case "mariadb":
		return MariaDB, nil
	default:
		return FlavorUnknown, fmt.Errorf("flavor %q: must be mysql or mariadb", s)
	}
}

// GTID names one transaction. The zero value names none (a server without
// GTIDs, or MySQL's anonymous transactions). Two GTIDs name the same transaction
// exactly if they are ==.
type GTID struct {
	Flavor Flavor
	// SID and Tag are MySQL's source identifier (a UUID) and tag ("" if none).
	// A tag is 1-32 bytes of [a-z_][a-z0-9_]*; servers write it in lower case.
	SID [16]byte
	Tag string
	// Domain and Server are MariaDB's domain and server ids.
	Domain, Server uint32
	// Seq is MySQL's GNO (1 … 2^63-2) or MariaDB's sequence number.
	Seq uint64
}

// maxGNO is the last transaction number MySQL gives out: its GNO_END, 2^63-1,
// is already outside (sql/rpl_gtid.h).
const maxGNO = 1<<63 - 2

const maxTagLen = 32

// ParseGTID reads one GTID as servers print it: uuid:gno or uuid:tag:gno for
// MySQL, domain-server-seq for MariaDB. FlavorUnknown lets the syntax decide.
// White space around the parts is ignored; tags and UUIDs are taken in either case.
// The empty string is an error, not the zero GTID.
func ParseGTID(flavor Flavor, s string) (GTID, error) {
	s = strings.TrimSpace(s)
	if flavor == FlavorUnknown {
		flavor = guessFlavor(s)
	}
	var g GTID
	var err error
	switch flavor {
	case MySQL:
		g, err = parseMySQLGTID(s)
	case MariaDB:
		g, err = parseMariaDBGTID(s)
	default:
		err = errors.New("must be uuid:number or uuid:tag:number (MySQL), or domain-server-number (MariaDB)")
	}
	if err != nil {
		return GTID{}, fmt.Errorf("GTID %q: %w", clip(s), err)
	}
	return g, nil
}

// IsZero reports whether g names no transaction.
func (g GTID) IsZero() bool { return g == GTID{} }

// String is the form ParseGTID reads, as servers print it; "" for the zero GTID.
func (g GTID) String() string {
	return string(g.Append(nil))
}

// Append appends String to b.
func (g GTID) Append(b []byte) []byte {
	switch g.Flavor {
	case MySQL:
		b = appendUUID(b, g.SID)
		if g.Tag != "" {
			b = append(b, ':')
			b = append(b, g.Tag...)
		}
		b = append(b, ':')
		return strconv.AppendUint(b, g.Seq, 10)
	case MariaDB:
		b = strconv.AppendUint(b, uint64(g.Domain), 10)
		b = append(b, '-')
		b = strconv.AppendUint(b, uint64(g.Server), 10)
		b = append(b, '-')
		return strconv.AppendUint(b, g.Seq, 10)
	default:
		return b
	}
}

// guessFlavor tells a GTID's flavor, or a set's, by its syntax: MariaDB's are made
// of digits and dashes alone, while MySQL's have colons at least. Empty text tells
// nothing.
func guessFlavor(s string) Flavor {
	const blank = ", \t\r\n"
	switch {
	case strings.Trim(s, blank) == "":
		return FlavorUnknown
	case strings.Trim(s, "0123456789-"+blank) == "":
		return MariaDB
	default:
		return MySQL
	}
}

func parseMySQLGTID(s string) (GTID, error) {
	uuid, rest, ok := strings.Cut(s, ":")
	if !ok {
		return GTID{}, errors.New("must be uuid:number or uuid:tag:number")
	}
	g := GTID{Flavor: MySQL}
	var err error
	if g.SID, err = parseUUID(uuid); err != nil {
		return GTID{}, err
	}
	if tag, number, tagged := strings.Cut(rest, ":"); tagged {
		if g.Tag, ok = parseTag(tag); !ok {
			return GTID{}, errTag(tag)
		}
		rest = number
	}
	if g.Seq, err = parseGNO(rest); err != nil {
		return GTID{}, err
	}
	return g, nil
}

func parseMariaDBGTID(s string) (GTID, error) {
	domain, rest, ok := strings.Cut(s, "-")
	server, seq, ok2 := strings.Cut(rest, "-")
	if !ok || !ok2 {
		return GTID{}, errors.New("must be domain-server-number")
	}
	d, err := strconv.ParseUint(strings.TrimSpace(domain), 10, 32)
	if err != nil {
		return GTID{}, fmt.Errorf("domain id %q: must be a number from 0 to 4294967295", clip(domain))
	}
	id, err := strconv.ParseUint(strings.TrimSpace(server), 10, 32)
	if err != nil {
		return GTID{}, fmt.Errorf("server id %q: must be a number from 0 to 4294967295", clip(server))
	}
	n, err := strconv.ParseUint(strings.TrimSpace(seq), 10, 64)
	if err != nil {
		return GTID{}, fmt.Errorf("sequence number %q: must be a number from 0 to 18446744073709551615", clip(seq))
	}
	return GTID{Flavor: MariaDB, Domain: uint32(d), Server: uint32(id), Seq: n}, nil
}

// parseUUID takes the two forms that servers take in GTIDs: 36 characters with the
// dashes in their places, which they print, or the 32 digits alone.
func parseUUID(s string) (id [16]byte, err error) {
	s = strings.TrimSpace(s)
	var digits [32]byte
	switch {
	case len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		n := copy(digits[:], s[:8])
		n += copy(digits[n:], s[9:13])
		n += copy(digits[n:], s[14:18])
		n += copy(digits[n:], s[19:23])
		copy(digits[n:], s[24:])
	case len(s) == 32:
		copy(digits[:], s)
	}
	// Zero bytes, where neither form was met, are no digits.
	if _, err := hex.Decode(id[:], digits[:]); err != nil {
		return [16]byte{}, fmt.Errorf("source %q: must be a UUID like 3e11fa47-71ca-11e1-9e33-c80aa9429562", clip(s))
	}
	return id, nil
}

func appendUUID(b []byte, id [16]byte) []byte {
	b = hex.AppendEncode(b, id[:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[4:6])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[6:8])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:10])
	b = append(b, '-')
	return hex.AppendEncode(b, id[10:])
}

// parseTag reads a tag as the server does: white space around it does not count,
// nor does its case.
func parseTag(s string) (tag string, ok bool) {
	tag = strings.ToLower(strings.TrimSpace(s))
	return tag, validTag(tag)
}

// validTag reports whether tag is one in the form in which it is kept and
// written; "" (no tag) is not.
func validTag(tag string) bool {
	if len(tag) < 1 || len(tag) > maxTagLen {
		return false
	}
	for i := range len(tag) {
		switch c := tag[i]; {
		case c >= 'a' && c <= 'z', c == '_':
		case c >= '0' && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return true
}

func errTag(tag string) error {
	return fmt.Errorf("tag %q: must be 1 to 32 letters, digits and underscores, not starting with a digit", clip(tag))
}

// parseGNO reads a MySQL transaction number. A leading zero is refused, for servers
// do not agree on it: 8.0 reads octal, 9.7 decimal.
func parseGNO(s string) (uint64, error) {
	s = strings.TrimSpace(s)
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || s[0] == '0' || n > maxGNO {
		return 0, errGNO(clip(s))
	}
	return n, nil
}

func errGNO(what string) error {
	return fmt.Errorf("transaction number %q: must be from 1 to %d, without leading zeros", what, uint64(maxGNO))
}

// clip shortens text from outside so that an error stays readable.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
