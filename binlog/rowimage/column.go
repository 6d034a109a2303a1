package rowimage

import "fmt"

// Types of columns, as they stand in the log: MySQL's enum_field_types
// (include/field_types.h) and, from 140 to 141, MariaDB's (sql/log_event.h and
// include/mysql_com.h).
const (
	typeDecimal           = 0 // before MySQL 5.0
	typeTiny              = 1
	typeShort             = 2
	typeLong              = 3
	typeFloat             = 4
	typeDouble            = 5
	typeNull              = 6
	typeTimestamp         = 7 // before fractions of seconds
	typeLonglong          = 8
	typeInt24             = 9
	typeDate              = 10
	typeTime              = 11 // before fractions of seconds
	typeDatetime          = 12 // before fractions of seconds
	typeYear              = 13
	typeNewdate           = 14
	typeVarchar           = 15
	typeBit               = 16
	typeTimestamp2        = 17
	typeDatetime2         = 18
	typeTime2             = 19
	typeBlobCompressed    = 140
	typeVarcharCompressed = 141
	typeVector            = 242
	typeJSON              = 245
	typeNewdecimal        = 246
	typeEnum              = 247
	typeSet               = 248
	typeTinyBlob          = 249
	typeMediumBlob        = 250
	typeLongBlob          = 251
	typeBlob              = 252
	typeVarString         = 253
	typeString            = 254
	typeGeometry          = 255
)

// Column is what is known of one column of a table.
type Column struct {
	// Name is empty where the log does not say it and nobody has told.
	Name string
	// Nullable: it may be NULL.
	Nullable bool

	kind uint8
	// meta is what the log says of the type: a length, a precision, a number of
	// digits, depending on the type.
	meta uint16
	// size is the value's in bytes, prefix that of the length in front of it. One
	// of the two is 0.
	size   uint32
	prefix uint8

	sign    sign
	charset string   // "": not known
	values  [][]byte // of ENUM and SET; in UTF-8 if valuesUTF8
	// valuesUTF8: the values were told, and not read from the log.
	valuesUTF8 bool
	as         dataType
	// digits are those behind the second of a time in MariaDB's format before MySQL
	// 5.6's, which the log does not say.
	digits uint8
	// described: information_schema has told what as is.
	described bool
}

// sign is whether a number is UNSIGNED.
type sign uint8

const (
	signUnknown sign = iota
	signed
	unsigned
)

// dataType is a type that the log shows as another.
type dataType uint8

const (
	asLogged dataType = iota
	asUUID
	asINET4
	asINET6
)

// isOldTime tells whether the column is a time in the format before MySQL 5.6. Under
// mysql56_temporal_format=OFF MariaDB has a variant with fractions, of another size,
// for which the log has the same type.
func (c *Column) isOldTime() bool {
	return c.kind == typeTime || c.kind == typeDatetime || c.kind == typeTimestamp
}

// layout finds how a column's values are laid out (table_def::calc_field_size in
// MySQL's sql/rpl_utility.cc).
func (c *Column) layout() error {
	switch c.kind {
	case typeTiny, typeYear:
		c.size = 1
	case typeShort:
		c.size = 2
	case typeInt24, typeDate, typeNewdate, typeTime:
		c.size = 3
	case typeLong, typeTimestamp:
		c.size = 4
	case typeLonglong, typeDatetime:
		c.size = 8
	case typeFloat, typeDouble:
		c.size = uint32(c.meta)
		if want := map[uint8]uint32{typeFloat: 4, typeDouble: 8}[c.kind]; c.size != want {
			return fmt.Errorf("a floating-point number of %d bytes, expected %d", c.size, want)
		}
	case typeNull:
	case typeNewdecimal:
		precision, scale := int(c.meta>>8), int(c.meta&0xff)
		if precision < 1 || precision > maxPrecision || scale > precision {
			return fmt.Errorf("DECIMAL(%d,%d) cannot be", precision, scale)
		}
		c.size = uint32(decimalSize(precision, scale))
	case typeBit:
		bits, bytes := c.meta&0xff, c.meta>>8
		if bits > 7 || bytes > 8 {
			return fmt.Errorf("BIT of %d bytes and %d bits cannot be", bytes, bits)
		}
		c.size = uint32(bytes) + uint32(bits+7)/8
	case typeTimestamp2, typeDatetime2, typeTime2:
		if c.meta > 6 {
			return fmt.Errorf("a time with %d digits behind the second, expected 6 at most", c.meta)
		}
		c.size = map[uint8]uint32{typeTimestamp2: 4, typeDatetime2: 5, typeTime2: 3}[c.kind] + uint32(c.meta+1)/2
	case typeEnum, typeSet:
		c.size = uint32(c.meta)
		if c.size < 1 || c.size > 8 || c.kind == typeEnum && c.size > 2 {
			return fmt.Errorf("an ENUM or a SET of %d bytes cannot be", c.size)
		}
	case typeString, typeVarchar, typeVarString, typeVarcharCompressed:
		c.prefix = 1
		if c.meta > 255 {
			c.prefix = 2
		}
	case typeTinyBlob, typeMediumBlob, typeLongBlob, typeBlob, typeGeometry, typeJSON, typeVector, typeBlobCompressed:
		if c.meta < 1 || c.meta > 4 {
			return fmt.Errorf("a length of %d bytes, expected 1 to 4", c.meta)
		}
		c.prefix = uint8(c.meta)
	default:
		return fmt.Errorf("a column of type %d, which this version does not know", c.kind)
	}
	return nil
}

// isNumber tells whether the log's optional metadata has a bit for the column's
// signedness.
func (c *Column) isNumber() bool {
	switch c.kind {
	case typeTiny, typeShort, typeInt24, typeLong, typeLonglong, typeFloat, typeDouble, typeDecimal, typeNewdecimal, typeYear:
		return true
	}
	return false
}

// isCharacter tells whether the log's optional metadata has the column's character
// set. What is not text is so for some types, on one server each.
func (c *Column) isCharacter(mariadb bool) bool {
	switch c.kind {
	case typeString, typeVarString, typeVarchar, typeTinyBlob, typeMediumBlob, typeLongBlob, typeBlob:
		return true
	case typeGeometry, typeBlobCompressed, typeVarcharCompressed:
		return mariadb
	case typeVector:
		return !mariadb
	}
	return false
}
