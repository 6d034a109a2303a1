package rowimage

import (
	"errors"
	"math"
	"strconv"
)

// floatDigits is how many digits of a FLOAT servers show (FLT_DIG).
const floatDigits = 6

// appendReal appends a floating-point number as the servers write it (my_gcvt in
// strings/dtoa.cc): as few digits as tell it from its neighbours, or so many if
// digits is not 0; with an exponent if it is below 1e-15, or 1e15 and beyond and no
// digit is behind the point.
func appendReal(dst []byte, f float64, digits int) []byte {
	if f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		if math.Signbit(f) && f == 0 {
			return append(dst, "-0"...)
		}
		return append(dst, '0')
	}
	var scratch [32]byte
	precision := -1
	if digits > 0 {
		precision = digits - 1
	}
	b := strconv.AppendFloat(scratch[:0], f, 'e', precision, 64)
	if b[0] == '-' {
		dst = append(dst, '-')
		b = b[1:]
	}
	// d.ddde±xx
	e := len(b) - 1
	for b[e] != 'e' {
		e--
	}
	exponent := 0
	for _, c := range b[e+2:] {
		exponent = 10*exponent + int(c-'0')
	}
	if b[e+1] == '-' {
		exponent = -exponent
	}
	digit := append(b[:1:1], b[min(2, e):e]...)
	for len(digit) > 1 && digit[len(digit)-1] == '0' {
		digit = digit[:len(digit)-1]
	}
	point := exponent + 1 // digits in front of it
	const most = 15       // MAX_DECPT_FOR_F_FORMAT
	switch {
	case point < 1-most || point > most && len(digit) <= point:
		dst = append(dst, digit[0])
		if len(digit) > 1 {
			dst = append(dst, '.')
			dst = append(dst, digit[1:]...)
		}
		dst = append(dst, 'e')
		return strconv.AppendInt(dst, int64(exponent), 10)
	case point <= 0:
		dst = append(dst, "0."...)
		for ; point < 0; point++ {
			dst = append(dst, '0')
		}
		return append(dst, digit...)
	case point >= len(digit):
		dst = append(dst, digit...)
		for n := len(digit); n < point; n++ {
			dst = append(dst, '0')
		}
		return dst
	}
	dst = append(dst, digit[:point]...)
	dst = append(dst, '.')
	return append(dst, digit[point:]...)
}

// maxPrecision is the most digits a DECIMAL has (DECIMAL_MAX_PRECISION); one that an
// expression made may have some more.
const maxPrecision = 81

// A DECIMAL's digits stand in groups of nine, each a number of four bytes; what is
// left over at either end takes as many as it needs (strings/decimal.cc).
const groupDigits = 9

var digitBytes = [groupDigits + 1]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

func decimalSize(precision, scale int) int {
	whole := precision - scale
	return whole/groupDigits*4 + digitBytes[whole%groupDigits] + scale/groupDigits*4 + digitBytes[scale%groupDigits]
}

var errDecimal = errors.New("a DECIMAL whose digits are none")

// appendDecimal appends a DECIMAL(precision,scale), whose size is decimalSize.
func appendDecimal(dst, b []byte, precision, scale int) ([]byte, error) {
	if len(b) == 0 || len(b) != decimalSize(precision, scale) {
		return dst, errDecimal
	}
	// The first bit is the sign: 1 for what is not negative. Of a negative number
	// all other bits are turned over.
	negative := b[0]&0x80 == 0
	flip := byte(0)
	if negative {
		flip = 0xff
		dst = append(dst, '-')
	}
	first := true
	group := func(digits int) (uint32, bool) {
		n := digitBytes[digits]
		v := uint32(0)
		for _, c := range b[:n] {
			if c ^= flip; first {
				c ^= 0x80
				first = false
			}
			v = v<<8 | uint32(c)
		}
		b = b[n:]
		return v, v < pow10[digits]
	}
	start := len(dst)
	for whole := precision - scale; whole > 0; {
		n := whole % groupDigits
		if n == 0 {
			n = groupDigits
		}
		v, ok := group(n)
		if !ok {
			return dst, errDecimal
		}
		whole -= n
		switch {
		case len(dst) > start:
			dst = appendDigits(dst, v, n)
		case v != 0:
			dst = strconv.AppendUint(dst, uint64(v), 10)
		}
	}
	if len(dst) == start {
		dst = append(dst, '0')
	}
	if scale > 0 {
		dst = append(dst, '.')
	}
	for scale > 0 {
		n := min(scale, groupDigits)
		v, ok := group(n)
		if !ok {
			return dst, errDecimal
		}
		dst = appendDigits(dst, v, n)
		scale -= n
	}
	return dst, nil
}

var pow10 = [...]uint32{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// appendDigits appends a number with zeros in front, so that it has n digits at
// least.
func appendDigits(dst []byte, v uint32, n int) []byte {
	for n--; n > 0 && v < pow10[min(n, groupDigits)]; n-- {
		dst = append(dst, '0')
	}
	return strconv.AppendUint(dst, uint64(v), 10)
}
