package rowimage

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
)

var errFixed = errors.New("more bytes than its type has")

// appendAs appends a value of one of MariaDB's types that the log shows as
// BINARY(n). The log leaves zeros at its end out.
func appendAs(dst []byte, as dataType, b []byte) ([]byte, error) {
	var v [16]byte
	size := len(v)
	if as == asINET4 {
		size = 4
	}
	if len(b) > size {
		return dst, errFixed
	}
	copy(v[:], b)
	switch as {
	case asUUID:
		return appendUUID(dst, v), nil
	case asINET4:
		return netip.AddrFrom4([4]byte(v[:4])).AppendTo(dst), nil
	default:
		return appendINET6(dst, v), nil
	}
}

// appendUUID appends a UUID. Those of the versions 1 to 5 are stored with their
// parts in the order in which they sort, the others as they are written (UUID in
// MariaDB's plugin/type_uuid/sql_type_uuid.h).
func appendUUID(dst []byte, v [16]byte) []byte {
	if v[6]&0x80 != 0 && v[8]&0x80 == 0 && v[8] != 0 {
		var u [16]byte
		copy(u[0:4], v[12:16])
		copy(u[4:6], v[10:12])
		copy(u[6:8], v[8:10])
		copy(u[8:10], v[6:8])
		copy(u[10:16], v[0:6])
		v = u
	}
	for i, n := range []int{4, 2, 2, 2, 6} {
		if i > 0 {
			dst = append(dst, '-')
		}
		at := []int{0, 4, 6, 8, 10}[i]
		dst = hex.AppendEncode(dst, v[at:at+n])
	}
	return dst
}

// appendINET6 appends an address as MariaDB does (Inet6 in
// plugin/type_inet/sql_type_inet.cc): the first of the longest runs of zeros is
// left out, even one that is a single number, and the end is written as an address of
// IPv4 if only zeros, or zeros and ffff, stand in front of it.
func appendINET6(dst []byte, v [16]byte) []byte {
	var words [8]uint16
	for i := range words {
		words[i] = binary.BigEndian.Uint16(v[2*i:])
	}
	gap, length := -1, 0
	for i := 0; i < len(words); i++ {
		n := 0
		for i+n < len(words) && words[i+n] == 0 {
			n++
		}
		if n > length {
			gap, length = i, n
		}
		i += n
	}
	v4 := gap == 0 && (length == 6 || length == 5 && words[5] == 0xffff)
	for i := 0; i < len(words); i++ {
		switch {
		case i == gap:
			dst = append(dst, "::"...)
			i += length - 1
			continue
		case i > 0 && i != gap+length:
			dst = append(dst, ':')
		}
		if v4 && i == 6 {
			return netip.AddrFrom4([4]byte(v[12:])).AppendTo(dst)
		}
		dst = strconv.AppendUint(dst, uint64(words[i]), 16)
	}
	return dst
}
