package rowimage

import (
	"fmt"
	"strings"
)

// Description is what information_schema.COLUMNS says of one column. The fields
// bear the names of its columns; what is NULL there is "".
type Description struct {
	Name        string // COLUMN_NAME
	DataType    string // DATA_TYPE
	ColumnType  string // COLUMN_TYPE
	Charset     string // CHARACTER_SET_NAME
	OctetLength string // CHARACTER_OCTET_LENGTH
	Precision   string // NUMERIC_PRECISION
	Scale       string // NUMERIC_SCALE
	Fraction    string // DATETIME_PRECISION
	Key         string // COLUMN_KEY
	Extra       string // EXTRA
	Default     string // COLUMN_DEFAULT behind an equals sign, so that '' is not NULL
}

// DefaultIsLeftOut tells whether the image of an INSERT that leaves the column to its
// default lacks it, under binlog_row_image=MINIMAL. Values that are made anew for each
// row are in there: AUTO_INCREMENT, the time, other expressions.
func (d *Description) DefaultIsLeftOut(mariadb bool) bool {
	switch {
	case d.Default == "":
		return false
	case mariadb: // shows constants as literals, and expressions as such
		return strings.HasPrefix(d.Default, "='") || !strings.HasSuffix(d.Default, ")")
	}
	return !strings.Contains(d.Extra, "DEFAULT_GENERATED")
}

// Describe adds what a server says of the table's columns to what the log says. It
// is all in vain if the two do not agree on how many columns there are, on their
// types, or on what else both say: then the table has been changed since, and Describe
// fails and adds nothing.
func (t *Table) Describe(columns []Description) error {
	if len(columns) != len(t.Columns) {
		return fmt.Errorf("the table has %d columns now, it had %d when the rows were written", len(columns), len(t.Columns))
	}
	told := make([]Column, len(columns))
	for i := range columns {
		told[i] = t.Columns[i]
		if err := told[i].describe(&columns[i], t.mariadb); err != nil {
			return fmt.Errorf("column %s is %s now, and was another when the rows were written: %w", columns[i].Name, columns[i].ColumnType, err)
		}
	}
	t.Columns, t.Named = told, true
	return nil
}

// describe adds what is said of one column.
func (c *Column) describe(d *Description, mariadb bool) error {
	if c.Name != "" && !strings.EqualFold(c.Name, d.Name) {
		return fmt.Errorf("its name was %s", c.Name)
	}
	kinds, ok := kindsOf[strings.ToLower(d.DataType)]
	if !ok || !strings.Contains(kinds, string(rune(c.kind))) {
		return fmt.Errorf("its type was the log's %d", c.kind)
	}
	if c.isOldTime() && mariadb {
		if err := c.setDigits(d.Fraction); err != nil {
			return err
		}
	} else if want, has := c.shape(), d.shape(c); want != has {
		return fmt.Errorf("the log has %s, the server %s", want, has)
	}
	s := signed
	if strings.Contains(strings.ToLower(d.ColumnType), "unsigned") {
		s = unsigned
	}
	if c.isNumber() && c.kind != typeYear {
		if c.sign != signUnknown && c.sign != s {
			return fmt.Errorf("its signedness was another")
		}
		c.sign = s
	}
	if c.kind == typeEnum || c.kind == typeSet {
		values, err := enumValues(d.ColumnType)
		if err != nil {
			return err
		}
		if c.values != nil && len(values) != len(c.values) {
			return fmt.Errorf("it had %d values", len(c.values))
		}
		if c.values == nil || c.charset == "" {
			c.values, c.valuesUTF8 = values, true
		}
	}
	charset := d.Charset
	if charset == "utf8" {
		charset = "utf8mb3"
	}
	if charset == "" {
		charset = binaryCharset
	}
	if c.kind != typeEnum && c.kind != typeSet {
		if c.charset != "" && c.charset != charset {
			return fmt.Errorf("its character set was %s", c.charset)
		}
		c.charset = charset
	}
	c.Name, c.described = d.Name, true
	switch strings.ToLower(d.DataType) {
	case "uuid":
		c.as = asUUID
	case "inet4":
		c.as = asINET4
	case "inet6":
		c.as = asINET6
	}
	return nil
}

// kindsOf are the types that the log may have for a DATA_TYPE, as characters.
var kindsOf = func() map[string]string {
	m := make(map[string]string)
	for name, kinds := range map[string][]rune{
		"tinyint": {typeTiny}, "smallint": {typeShort}, "mediumint": {typeInt24}, "int": {typeLong}, "bigint": {typeLonglong},
		"float": {typeFloat}, "double": {typeDouble}, "decimal": {typeNewdecimal}, "bit": {typeBit}, "year": {typeYear},
		"date": {typeDate, typeNewdate}, "time": {typeTime, typeTime2}, "datetime": {typeDatetime, typeDatetime2},
		"timestamp": {typeTimestamp, typeTimestamp2},
		"char":      {typeString}, "binary": {typeString}, "uuid": {typeString}, "inet4": {typeString}, "inet6": {typeString},
		"varchar":   {typeVarchar, typeVarString, typeVarcharCompressed},
		"varbinary": {typeVarchar, typeVarString, typeVarcharCompressed},
		"enum":      {typeEnum}, "set": {typeSet}, "json": {typeJSON}, "vector": {typeVector, typeVarchar},
	} {
		m[name] = string(kinds)
	}
	for _, name := range []string{"tinyblob", "blob", "mediumblob", "longblob", "tinytext", "text", "mediumtext", "longtext"} {
		m[name] = string([]rune{typeTinyBlob, typeBlob, typeMediumBlob, typeLongBlob, typeBlobCompressed})
	}
	for _, name := range []string{
		"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
		"geometrycollection", "geomcollection",
	} {
		m[name] = string([]rune{typeGeometry})
	}
	return m
}()

// shape is what the log says of a type's size, in the words of d.shape; "" where it
// says nothing that can be compared.
func (c *Column) shape() string {
	switch c.kind {
	case typeNewdecimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", c.meta>>8, c.meta&0xff)
	case typeBit:
		return fmt.Sprintf("%d bits", c.meta>>8*8+c.meta&0xff)
	case typeTime2, typeDatetime2, typeTimestamp2:
		return fmt.Sprintf("%d digits of seconds", c.meta)
	case typeTime, typeDatetime, typeTimestamp:
		return "0 digits of seconds"
	case typeString, typeVarchar, typeVarString:
		return fmt.Sprintf("%d bytes", c.meta)
	case typeBlob, typeBlobCompressed:
		return fmt.Sprintf("a length of %d bytes", c.meta)
	}
	return ""
}

// shape is what the server says of a type's size, for a column of the log.
func (d *Description) shape(c *Column) string {
	or0 := func(s string) string {
		if s == "" {
			return "0"
		}
		return s
	}
	switch c.kind {
	case typeNewdecimal:
		return fmt.Sprintf("DECIMAL(%s,%s)", d.Precision, d.Scale)
	case typeBit:
		return d.Precision + " bits"
	case typeTime2, typeDatetime2, typeTimestamp2, typeTime, typeDatetime, typeTimestamp:
		return or0(d.Fraction) + " digits of seconds"
	case typeString, typeVarchar, typeVarString:
		switch strings.ToLower(d.DataType) {
		case "uuid", "inet6":
			return "16 bytes"
		case "inet4":
			return "4 bytes"
		case "vector":
			return c.shape()
		}
		return d.OctetLength + " bytes"
	case typeBlob, typeBlobCompressed:
		n := map[string]int{"tiny": 1, "medium": 3, "long": 4}
		kind := strings.ToLower(d.DataType)
		for _, tail := range []string{"blob", "text"} {
			kind = strings.TrimSuffix(kind, tail)
		}
		bytes, ok := n[kind]
		if !ok {
			bytes = 2
		}
		return fmt.Sprintf("a length of %d bytes", bytes)
	}
	return ""
}

// enumValues reads the values of enum('a','b') or set('a','b'). Servers double the
// quotes in them, and write backslashes and what would not print with one.
func enumValues(columnType string) ([][]byte, error) {
	bad := fmt.Errorf("%s is neither an ENUM nor a SET", columnType)
	open := strings.IndexByte(columnType, '(')
	if open < 0 {
		return nil, bad
	}
	values := make([][]byte, 0, 8)
	for s := columnType[open+1:]; ; {
		if len(s) == 0 || s[0] != '\'' {
			return nil, bad
		}
		s = s[1:]
		value := []byte{}
		for {
			if len(s) == 0 {
				return nil, bad
			}
			c := s[0]
			s = s[1:]
			if c == '\'' {
				if len(s) == 0 || s[0] != '\'' {
					break
				}
				s = s[1:]
			} else if c == '\\' && len(s) > 0 {
				c = s[0]
				s = s[1:]
				switch c {
				case '0':
					c = 0
				case 'n':
					c = '\n'
				case 'r':
					c = '\r'
				}
			}
			value = append(value, c)
		}
		values = append(values, value)
		if len(s) > 0 && s[0] == ',' {
			s = s[1:]
			continue
		}
		if len(s) == 0 || s[0] != ')' {
			return nil, bad
		}
		return values, nil
	}
}

// Unfit says why no key can be made of the column's values; "" if some can.
func (d *Description) Unfit() string {
	switch strings.ToLower(d.DataType) {
	case "datetime", "timestamp":
		return "its values have a space in them, which no key can; leave it out of the key"
	case "enum", "set":
		return ""
	}
	if d.Charset != "" {
		if _, err := newCharset(d.Charset); err != nil {
			return err.Error()
		}
	}
	return ""
}

// Differs says in what a key differs from what SELECT shows; "" in nothing. It is
// about what the log does not say.
func (d *Description) Differs() string {
	kind := strings.ToLower(d.ColumnType)
	switch {
	case strings.Contains(kind, "zerofill"):
		return "the zeros that ZEROFILL puts in front are left out"
	case (strings.HasPrefix(kind, "float(") || strings.HasPrefix(kind, "double(")) && strings.Contains(kind, ","):
		return "the number is written as if FLOAT(M,D) or DOUBLE(M,D) had no digits set"
	}
	return ""
}

// Blob tells whether binlog_row_image=NOBLOB leaves the column out of images.
func (d *Description) Blob() bool {
	kinds := kindsOf[strings.ToLower(d.DataType)]
	return strings.ContainsAny(kinds, string([]rune{typeBlob, typeJSON, typeGeometry}))
}
