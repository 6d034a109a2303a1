package rowimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// appendDate appends a DATE: five bits of day, four of month, the rest of year.
func appendDate(dst, b []byte) []byte {
	v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	return appendYMD(dst, v>>9, v>>5&15, v&31)
}

func appendYMD(dst []byte, year, month, day uint32) []byte {
	dst = appendDigits(dst, year, 4)
	dst = append(dst, '-')
	dst = appendDigits(dst, month, 2)
	dst = append(dst, '-')
	return appendDigits(dst, day, 2)
}

func appendHMS(dst []byte, hour, minute, second uint32) []byte {
	dst = appendDigits(dst, hour, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, minute, 2)
	dst = append(dst, ':')
	return appendDigits(dst, second, 2)
}

// appendFraction appends what is behind the second: n digits of it.
func appendFraction(dst []byte, micros uint32, n int) []byte {
	if n == 0 {
		return dst
	}
	dst = append(dst, '.')
	return appendDigits(dst, micros/pow10[6-n], n)
}

// fraction reads microseconds that have n digits, two in a byte.
func fraction(b []byte, n int) uint32 {
	v := uint32(0)
	for _, c := range b {
		v = v<<8 | uint32(c)
	}
	return v * pow10[6-2*((n+1)/2)]
}

func bigEndian(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// appendTime appends a TIME(n) (my_time_packed_from_binary in
// mysys/my_time.cc): a number of three bytes and the fraction, one number
// together, offset so that the negative ones sort first.
func appendTime(dst, b []byte, n int) []byte {
	v := int64(bigEndian(b)) - 1<<(8*len(b)-1)
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	bits := 8 * (len(b) - 3)
	hms := uint32(v >> bits)
	micros := uint32(v&(1<<bits-1)) * pow10[6-2*((n+1)/2)]
	dst = appendHMS(dst, hms>>12&0x3ff, hms>>6&63, hms&63)
	return appendFraction(dst, micros, n)
}

// appendDatetime appends a DATETIME(n): a sign that is always 1, seventeen bits of
// year and month (thirteen to a year), five each of day and hour, six each of
// minute and second, then the fraction.
func appendDatetime(dst, b []byte, n int) []byte {
	v := bigEndian(b[:5]) &^ (1 << 39)
	date, clock := uint32(v>>17), uint32(v&(1<<17-1))
	months := date >> 5
	dst = appendYMD(dst, months/13, months%13, date&31)
	dst = append(dst, ' ')
	dst = appendHMS(dst, clock>>12, clock>>6&63, clock&63)
	return appendFraction(dst, fraction(b[5:], n), n)
}

// appendTimestamp appends a TIMESTAMP(n) in UTC: seconds since 1970, then the
// fraction. 0 is the zero date.
func appendTimestamp(dst, b []byte, n int) []byte {
	dst = appendUnix(dst, binary.BigEndian.Uint32(b))
	return appendFraction(dst, fraction(b[4:], n), n)
}

func appendUnix(dst []byte, seconds uint32) []byte {
	if seconds == 0 {
		return append(dst, "0000-00-00 00:00:00"...)
	}
	return time.Unix(int64(seconds), 0).UTC().AppendFormat(dst, time.DateTime)
}

var errOldTime = errors.New("a time in the format before MySQL 5.6 that is none")

// setDigits says how many digits behind the second a time in MariaDB's old format
// has, and so how long it is (Type_handler_time::hires_bytes and its like in
// sql/sql_type.cc).
func (c *Column) setDigits(fraction string) error {
	n, err := strconv.Atoi(fraction)
	switch {
	case fraction == "":
		n = 0
	case err != nil || n < 0 || n > 6:
		return fmt.Errorf("%q digits behind the second, expected 0 to 6", fraction)
	}
	if c.digits = uint8(n); n > 0 {
		c.size = uint32(map[uint8][7]uint8{
			typeTime: {3, 4, 4, 5, 5, 5, 6}, typeDatetime: {8, 6, 6, 7, 7, 7, 8}, typeTimestamp: {4, 5, 5, 6, 6, 7, 7},
		}[c.kind][n])
	}
	return nil
}

// appendHiresTime appends a time with n digits behind the second in MariaDB's old
// format (Field_time_hires, Field_datetime_hires and Field_timestamp_hires in
// sql/field.cc): a number in big-endian order of the units of the last digit, and for
// a TIMESTAMP seconds since 1970 and the fraction.
func appendHiresTime(dst, b []byte, kind uint8, n int) ([]byte, error) {
	unit := uint64(pow10[6-n])
	switch kind {
	case typeTimestamp:
		dst = appendUnix(dst, binary.BigEndian.Uint32(b))
		return appendFraction(dst, uint32(bigEndian(b[4:])*unit), n), nil
	case typeTime:
		// Moved up by an hour more than TIME has, so that the negative ones sort first.
		const zero = 839 * 3600 * 1_000_000
		v := (int64(bigEndian(b)) - zero/int64(unit)) * int64(unit)
		if v < 0 {
			dst = append(dst, '-')
			v = -v
		}
		seconds := v / 1_000_000
		if seconds >= 839*3600 {
			return dst, errOldTime
		}
		dst = appendHMS(dst, uint32(seconds/3600), uint32(seconds/60%60), uint32(seconds%60))
		return appendFraction(dst, uint32(v%1_000_000), n), nil
	default:
		v := bigEndian(b)
		const most = 10_000 * 13 * 32 * 24 * 3600 * 1_000_000
		if v > most/unit {
			return dst, errOldTime
		}
		v *= unit
		clock := v / 1_000_000
		date := clock / (24 * 3600)
		dst = appendYMD(dst, uint32(date/32/13), uint32(date/32%13), uint32(date%32))
		dst = append(dst, ' ')
		dst = appendHMS(dst, uint32(clock/3600%24), uint32(clock/60%60), uint32(clock%60))
		return appendFraction(dst, uint32(v%1_000_000), n), nil
	}
}

// appendOldTime appends times as they were logged before MySQL 5.6, and are by
// MariaDB with mysql56_temporal_format=OFF, without fractions: decimal digits,
// and seconds since 1970.
func appendOldTime(dst, b []byte, kind uint8) ([]byte, error) {
	switch kind {
	case typeTimestamp:
		return appendUnix(dst, binary.LittleEndian.Uint32(b)), nil
	case typeTime:
		v := int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24) >> 8
		if v < 0 {
			dst = append(dst, '-')
			v = -v
		}
		t := uint32(v)
		return appendHMS(dst, t/10000, t/100%100, t%100), nil
	default:
		v := binary.LittleEndian.Uint64(b)
		date, clock := uint32(v/1e6), uint32(v%1e6)
		if v/1e6 > 99991231 {
			return dst, errOldTime
		}
		dst = appendYMD(dst, date/10000, date/100%100, date%100)
		dst = append(dst, ' ')
		return appendHMS(dst, clock/10000, clock/100%100, clock%100), nil
	}
}
