package rowimage_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// column is a column's definition and the values it is given, as SQL.
type column struct {
	definition string
	values     []string
}

// table is what is created, written to and read back.
type table struct {
	name    string
	columns []column
	// more stands behind the columns' definitions, options behind those.
	more, options string
}

func sqlList(values ...string) []string { return values }

// quoted writes texts as literals.
func quoted(values ...string) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(v) + "'"
	}
	return list
}

// integers gives a table's columns of one integer type, signed and unsigned.
func integers(kind string, bits int) []column {
	least, most := "-"+pow2(bits-1, 0), pow2(bits-1, 1)
	return []column{
		{kind, sqlList(least, most, "0", "-1", "1", "42", "NULL")},
		{kind + " UNSIGNED", sqlList("0", pow2(bits, 1), most, pow2(bits-1, 0), "1", "NULL")},
		{kind + " NOT NULL", sqlList("7", "-7")},
	}
}

// pow2 is two to the power of n, minus less.
func pow2(n int, less uint64) string {
	if n == 64 {
		return fmt.Sprint(^uint64(0) - (less - 1))
	}
	return fmt.Sprint(uint64(1)<<n - less)
}

// tables are what both servers know; those of one alone come with it.
func tables(kind servers.Kind) []table {
	var ints, decimals, reals, bits, times, texts, bytes, charsets []column
	for name, n := range map[string]int{"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INT": 32, "BIGINT": 64} {
		ints = append(ints, integers(name, n)...)
	}
	ints = append(ints, column{"BOOL", sqlList("TRUE", "FALSE", "NULL")}, column{"YEAR", sqlList("1901", "2155", "0", "2026", "NULL")})
	for _, p := range [][2]int{{1, 0}, {1, 1}, {2, 1}, {5, 2}, {9, 0}, {9, 9}, {10, 0}, {10, 5}, {18, 9}, {19, 9}, {20, 10}, {27, 13}, {38, 30}, {65, 0}, {65, 30}, {65, 10}} {
		whole, frac := strings.Repeat("9", p[0]-p[1]), strings.Repeat("9", p[1])
		most := whole + "." + frac
		small := "0." + strings.Repeat("0", max(0, p[1]-1)) + "1"
		decimals = append(decimals,
			column{fmt.Sprintf("DECIMAL(%d,%d)", p[0], p[1]), sqlList(most, "-"+most, "0", "-0.0", small, "-"+small, "NULL", whole[:min(len(whole), 1)]+".5", "0.000000001", "0.1000000001")},
			column{fmt.Sprintf("DECIMAL(%d,%d) UNSIGNED", p[0], p[1]), sqlList(most, "0", small)})
	}
	decimals = append(decimals, column{"DECIMAL(30,10)", sqlList("1000000000", "-1000000000.0000000001", "123456789012345678.9", "100000000000000000", "-9")})
	for _, kind := range []string{"FLOAT", "DOUBLE"} {
		values := sqlList("0", "-0e0", "1", "-1", "0.1", "-0.1", "1.5", "3.14159265358979", "1e10", "1e14", "1e15", "123456789012345", "1234567890123456", "12345678901234567",
			"1e16", "1e20", "1.5e20", "1e-4", "1e-5", "1e-10", "1e-14", "1e-15", "1e-16", "1.25e-15", "1.17549435e-38", "3.4028e38", "999999", "9999999", "1234567", "16777217", "0.000123456789", "NULL", "100", "1e2", "2.5e-7")
		if kind == "DOUBLE" {
			values = append(values, "1.7976931348623157e308", "2.2250738585072014e-308", "-1e300", "1e100", "1234567890123456.7", "0.30000000000000004", "5e-324", "123456.789e3")
		}
		reals = append(reals, column{kind, values}, column{kind + " UNSIGNED", sqlList("0", "1.5", "1e30")})
	}
	for _, n := range []int{1, 2, 7, 8, 9, 12, 16, 17, 31, 32, 33, 48, 63, 64} {
		bits = append(bits, column{fmt.Sprintf("BIT(%d)", n), sqlList("0", "1", pow2(n, 1), "NULL", fmt.Sprint(uint64(0xa5a5a5a5a5a5a5a5)>>(64-n)))})
	}
	times = append(times, column{"DATE", quoted("1000-01-01", "9999-12-31", "0000-00-00", "2026-02-28", "2024-02-29", "2026-00-00", "0001-01-01")})
	for n := range 7 {
		times = append(times,
			column{fmt.Sprintf("TIME(%d)", n), append(quoted("838:59:59", "-838:59:59", "00:00:00", "-00:00:01.5", "00:00:00.999999", "-00:00:00.000001", "-00:00:00.25", "12:34:56.789012", "-12:34:56.789012", "-01:00:00"), "NULL")},
			column{fmt.Sprintf("DATETIME(%d)", n), append(quoted("1000-01-01 00:00:00", "9999-12-31 23:59:59", "0000-00-00 00:00:00", "2026-11-27 13:00:01.999999", "2026-11-27 13:00:01.000001", "2026-11-00 01:02:03.100000", "0000-01-01 00:00:00"), "NULL")},
			column{fmt.Sprintf("TIMESTAMP(%d) NULL", n), append(quoted("1970-01-01 00:00:01", "2038-01-19 03:14:07", "0000-00-00 00:00:00", "2026-11-27 13:00:01.999999", "2001-02-03 04:05:06.000001", "2026-07-01 12:00:00.123456"), "NULL")})
	}
	long := strings.Repeat("Größe ☃ 🐿 ", 300)
	texts = []column{
		{"CHAR(10)", append(quoted("", "a", "abc  ", "äöü☃🐿", "1234567890"), "NULL")},
		{"CHAR(255)", quoted("", strings.Repeat("🐿", 255), "a")},
		{"VARCHAR(10)", append(quoted("", "a  ", "äöü☃🐿"), "NULL")},
		{"VARCHAR(63)", quoted(strings.Repeat("é", 63), "")},
		{"VARCHAR(64)", quoted(strings.Repeat("🐿", 64), "x")},
		{"VARCHAR(3000)", quoted(long[:1000], "", long)},
		{"TINYTEXT", append(quoted("", "x", "ü"), "NULL")},
		{"TEXT", append(quoted("", long), "NULL")},
		{"MEDIUMTEXT", quoted(long+long, "")},
		{"LONGTEXT", append(quoted("", long), "NULL")},
		{"ENUM('a','it''s','back\\\\slash','new\\nline','ü☃','')", append(quoted("a", "it's", "ü☃", `back\slash`), "NULL", "0", "4", "6")},
		{"SET('a','b','it''s','ü')", append(quoted("", "a", "a,b", "it's,ü", "a,b,it's,ü"), "NULL")},
		{"ENUM('x','ü','é') CHARACTER SET latin1", append(quoted("x", "ü", "é"), "NULL")},
		{"SET('я','ю') CHARACTER SET cp1251", quoted("я", "я,ю", "")},
	}
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf("'v%d'", i))
	}
	texts = append(texts,
		column{"ENUM(" + strings.Join(many, ",") + ")", sqlList("1", "255", "256", "300", "'v7'")},
		column{"SET(" + strings.Join(many[:64], ",") + ")", sqlList("1", "0", "0xffffffffffffffff", "0x8000000000000001")},
		column{"SET(" + strings.Join(many[:9], ",") + ")", sqlList("256", "511", "1")},
		column{"SET(" + strings.Join(many[:33], ",") + ")", sqlList("4294967296", "8589934591")})
	bytes = []column{
		{"BINARY(16)", sqlList("x'00112233445566778899aabbccddeeff'", "x''", "x'ff00'", "NULL", "x'00000000000000000000000000000001'", "x'80'")},
		{"BINARY(4)", sqlList("x'01020300'", "x''", "x'7f000001'")},
		{"BINARY(5)", sqlList("'ab'", "'abcde'", "x'0000000000'", "'a  '")},
		{"BINARY(255)", sqlList("'ab'", "REPEAT('x',255)")},
		{"VARBINARY(10)", sqlList("x''", "x'0000'", "'abc'", "NULL", "x'ff80'")},
		{"VARBINARY(300)", sqlList("REPEAT(x'80',300)", "''")},
		{"TINYBLOB", sqlList("x''", "x'00ff'", "NULL")},
		{"BLOB", sqlList("x''", "REPEAT(x'00ff',2000)", "NULL")},
		{"MEDIUMBLOB", sqlList("REPEAT('x',70000)", "''")},
		{"LONGBLOB", sqlList("x'c3'", "''", "NULL")},
		{"GEOMETRY", sqlList("ST_GeomFromText('POINT(1 2)')", "NULL", "ST_GeomFromText('LINESTRING(0 0,1 1,2 2)')")},
		{"POINT", sqlList("ST_GeomFromText('POINT(-1.5 2e10)')", "NULL")},
	}
	for name, text := range map[string][]string{
		"latin1":   {"Grün", "œ€™ž", "", "plain"},
		"latin2":   {"Łódź", "ő"},
		"latin5":   {"ığş"},
		"latin7":   {"ąčę"},
		"greek":    {"αβγ"},
		"hebrew":   {"שלום"},
		"cp1250":   {"Łódź", "ő", "€"},
		"cp1251":   {"Привет", "€"},
		"cp1256":   {"مرحبا"},
		"cp1257":   {"ąčę"},
		"cp850":    {"Grün", "ßæ"},
		"cp852":    {"Łódź"},
		"cp866":    {"Привет"},
		"koi8r":    {"Привет"},
		"koi8u":    {"Привіт"},
		"macroman": {"Grün"},
		"big5":     {"中文字", "a中b"},
		"gbk":      {"中文字", "a中b"},
		"euckr":    {"한국어"},
		"ujis":     {"日本語", "ｱｲｳ"},
		"eucjpms":  {"日本語", "ｱｲｳ", "①"},
		"sjis":     {"日本語", "ｱｲｳ", "a能b"},
		"cp932":    {"日本語", "ｱｲｳ", "①"},
		"ucs2":     {"abc", "Grün", "中", ""},
		"utf16":    {"abc", "Grün", "中", "🐿", ""},
		"utf16le":  {"abc", "Grün", "中", "🐿"},
		"utf32":    {"abc", "Grün", "中", "🐿"},
		"utf8mb3":  {"abc", "Grün", "中"},
		"utf8mb4":  {"abc", "🐿"},
		"ascii":    {"abc", ""},
	} {
		charsets = append(charsets,
			column{"CHAR(20) CHARACTER SET " + name, quoted(text...)},
			column{"VARCHAR(100) CHARACTER SET " + name, append(quoted(text...), "NULL")},
			column{"TEXT CHARACTER SET " + name, quoted(text...)})
	}
	list := []table{
		{name: "ints", columns: ints, options: " PARTITION BY HASH (pk) PARTITIONS 3"},
		{name: "decimals", columns: decimals},
		{name: "reals", columns: reals},
		{name: "bits", columns: bits},
		{name: "times", columns: times},
		{name: "texts", columns: texts},
		{name: "bytes", columns: bytes},
		{name: "charsets", columns: charsets},
		{name: "computed", columns: []column{
			{"INT", sqlList("1", "2", "NULL", "-5")},
			{"INT GENERATED ALWAYS AS (c0 * 2) STORED", nil},
			{"VARCHAR(20) GENERATED ALWAYS AS (CONCAT('v', c0)) VIRTUAL", nil},
			{"INT INVISIBLE", sqlList("3", "4", "NULL")},
		}},
	}
	if kind == servers.KindMySQL {
		list = append(list,
			table{name: "documents", columns: []column{{"JSON", jsonValues()}, {"VECTOR(3)", sqlList("STRING_TO_VECTOR('[1,2,3]')", "NULL")}, {"VARCHAR(5) CHARACTER SET gb18030", quoted("中文", "a")}}},
			// Indexes on expressions have hidden columns.
			table{name: "indexed", columns: []column{{"INT", sqlList("1", "2", "NULL")}, {"JSON", quoted("[1, 2]", "[]")}},
				more: ", KEY ((c0 + 1)), KEY ((CAST(c1 AS UNSIGNED ARRAY)))"})
	} else {
		list = append(list,
			table{name: "mariadb", columns: []column{
				{"UUID", append(quoted("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-fffffffffffe",
					"6ccd780c-baba-1026-9564-5b8c656024db", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "018f3b1e-7b6a-7c3d-8e4f-0123456789ab",
					"1ef21d2f-1207-6660-8c4f-419efbd44d48", "00000000-0000-0000-0000-000000000001", "f47ac10b-58cc-5372-a567-000000000000"), "NULL")},
				{"INET6", append(quoted("::", "::1", "2001:db8::ff00:42:8329", "::ffff:192.0.2.1", "::1.2.3.4", "1:0:2:3:4:5:6:7", "1:0:0:3:4:0:0:7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1::", "::0.1.0.0", "::2:3", "1:2:3:4:5:6:7:0", "0:2:3:4:5:6:7:8", "1:0:3:0:0:6:0:0"), "NULL")},
				{"INET4", append(quoted("0.0.0.0", "255.255.255.255", "10.0.0.1", "1.0.0.0"), "NULL")},
				{"JSON", quoted(`{"a": 1}`, "[]")},
				{"VARCHAR(100) COMPRESSED", append(quoted("", "a", strings.Repeat("abc ü ", 16)), "NULL")},
				{"VARCHAR(1000) COMPRESSED", quoted(strings.Repeat("x", 900), "y")},
				{"VARBINARY(300) COMPRESSED", sqlList("REPEAT('x',300)", "''")},
				{"TEXT COMPRESSED", append(quoted("", strings.Repeat("abc ☃ ", 500), "x"), "NULL")},
				{"TINYTEXT COMPRESSED", quoted(strings.Repeat("z", 200), "")},
				{"LONGBLOB COMPRESSED", sqlList("REPEAT('x',70000)", "x'00'")},
				{"TEXT CHARACTER SET latin1 COMPRESSED", quoted(strings.Repeat("grün ", 50))},
			}})
	}
	return list
}

func jsonValues() []string {
	values := quoted(`{}`, `[]`, `null`, `true`, `false`, `0`, `-1`, `32767`, `-32768`, `32768`, `65535`, `65536`, `2147483647`, `-2147483648`, `4294967295`, `9223372036854775807`,
		`-9223372036854775808`, `18446744073709551615`, `1.0`, `-0.0`, `1.5`, `1e100`, `1e15`, `123456789012345678901234567890`, `0.1`, `1e-20`, `"text"`, `""`, `"q\"uo\\te\u0001\b\f\n\r\tü☃🐿/"`,
		`{"b": 1, "a": [1, 2, {"c": null}], "longer": "x", "": true, "ü": 1.25}`, `[[[[]]]]`, `[1, "two", 3.5, null, true, false, {"x": -70000}, 5000000000]`,
		`{"big": "`+strings.Repeat("x", 300)+`"}`)
	return append(values,
		"JSON_OBJECT('d', CAST('2026-01-02' AS DATE), 't', CAST('-12:34:56.789' AS TIME(3)), 'dt', CAST('2026-01-02 03:04:05.6' AS DATETIME(1)), 'ts', TIMESTAMP('2026-01-02 03:04:05'))",
		"JSON_ARRAY(CAST(1.50 AS DECIMAL(10,2)), CAST(-0.001 AS DECIMAL(10,3)), x'00ff', b'101', CAST('x' AS BINARY))",
		"JSON_OBJECT('large', REPEAT('y', 70000), 'n', 1, 'i', 100000)",
		"CAST(CONCAT('[', REPEAT('1, ', 30000), '70000]') AS JSON)",
		"JSON_ARRAY(ST_GeomFromText('POINT(1 2)'))", "NULL")
}

// raw is one connection that gives values as the server sends them.
type raw struct {
	t    testing.TB
	conn *client.Conn
}

func newRaw(t testing.TB, d *servers.Database) *raw {
	t.Helper()
	c, err := client.Connect(d.Addr(), "root", "", "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := &raw{t, c}
	r.must("SET NAMES utf8mb4")
	r.must("SET time_zone = '+00:00', sql_mode = ''")
	return r
}

func (r *raw) must(statement string) {
	r.t.Helper()
	if _, err := r.conn.Execute(statement); err != nil {
		r.t.Fatalf("%.300s: %v", statement, err)
	}
}

// null is what NULL is shown as here.
const null = "\x00NULL"

// rows gives a query's values, as they are sent.
func (r *raw) rows(query string) (all [][]string) {
	r.t.Helper()
	result, err := r.conn.Execute(query)
	if err != nil {
		r.t.Fatalf("%.300s: %v", query, err)
	}
	for _, data := range result.RowDatas {
		var row []string
		for b := []byte(data); len(b) > 0; {
			if b[0] == 0xfb {
				row, b = append(row, null), b[1:]
				continue
			}
			n, size := uint64(b[0]), 1
			switch b[0] {
			case 0xfc:
				n, size = uint64(binary.LittleEndian.Uint16(b[1:])), 3
			case 0xfd:
				n, size = uint64(b[1])|uint64(b[2])<<8|uint64(b[3])<<16, 4
			case 0xfe:
				n, size = binary.LittleEndian.Uint64(b[1:]), 9
			}
			row, b = append(row, string(b[size:size+int(n)])), b[size+int(n):]
		}
		all = append(all, row)
	}
	return all
}

// images is a Handler that reads every column of every row of one schema.
type images struct {
	t       testing.TB
	mariadb bool
	schema  string
	// describe tells what the log does not.
	describe func(table string) []rowimage.Description
	tables   map[uint64]*reading
	// got are the images by table, in the order of the log: an update gives two.
	got map[string][][]string
}

type reading struct {
	table  *rowimage.Table
	rows   *rowimage.Rows
	values []*rowimage.Value
}

const absent = "\x00absent"

func (h *images) Table(t *binlog.Table) (bool, error) {
	if string(t.Schema) != h.schema {
		return false, nil
	}
	parsed, err := rowimage.ParseTable(t.Body, h.mariadb)
	if err != nil {
		return false, err
	}
	if h.describe != nil {
		if err := parsed.Describe(h.describe(parsed.Name)); err != nil {
			return false, err
		}
	}
	if !parsed.Named {
		return false, fmt.Errorf("%s: no names", t.Name)
	}
	r := &reading{table: parsed}
	var all []int
	for i := range parsed.Columns {
		all = append(all, i)
		v, err := parsed.NewValue(i)
		if err != nil {
			return false, err
		}
		r.values = append(r.values, v)
	}
	r.rows = rowimage.NewRows(parsed, all)
	h.tables[t.ID] = r
	return true, nil
}

func (h *images) Rows(rows *binlog.Rows) error {
	r := h.tables[rows.Table]
	if rows.Body == nil {
		return nil
	}
	if err := r.rows.Open(rows.Type, rows.Body); err != nil {
		return err
	}
	for r.rows.Next() {
		for i, image := range [][]rowimage.Cell{r.rows.Before, r.rows.After} {
			if image == nil {
				continue
			}
			var row []string
			for c, cell := range image {
				switch cell.State {
				case rowimage.Absent:
					row = append(row, absent)
				case rowimage.Null:
					row = append(row, null)
				default:
					var before rowimage.Cell
					if i == 1 && r.rows.Before != nil {
						before = r.rows.Before[c]
					}
					v, err := r.values[c].Append(nil, cell, before, 1<<20)
					if err != nil {
						return err
					}
					row = append(row, string(v))
				}
			}
			h.got[r.table.Name] = append(h.got[r.table.Name], row)
		}
	}
	return r.rows.Err()
}

func (h *images) File(binlog.File) error            { return nil }
func (h *images) Previous(*binlog.GTIDSet) error    { return nil }
func (h *images) Begin(*binlog.Transaction) error   { return nil }
func (h *images) Statement(*binlog.Statement) error { return nil }
func (h *images) End(*binlog.Transaction) error     { return nil }
func (h *images) Broken() error                     { return nil }
func (h *images) Moved() (binlog.Position, error)   { return binlog.Position{}, nil }
func (h *images) Checkpoint(string) error           { return nil }
func (h *images) Idle(uint64) error                 { return nil }
func (h *images) Warn(w binlog.Warning)             { h.t.Errorf("%v", w) }

// mode is how a server logs.
type mode struct {
	name string
	// set are statements that make it so.
	set   []string
	whole bool // every image has every column
	named bool // the log has the names of columns
}

func modes(kind servers.Kind) []mode {
	metadata := func(full bool) string {
		switch {
		case full:
			return "SET GLOBAL binlog_row_metadata = FULL"
		case kind == servers.KindMySQL:
			return "SET GLOBAL binlog_row_metadata = MINIMAL"
		}
		return "SET GLOBAL binlog_row_metadata = NO_LOG"
	}
	image := func(name string) string { return "SET SESSION binlog_row_image = " + name }
	list := []mode{
		{"full", []string{metadata(true), image("FULL")}, true, true},
		{"unnamed", []string{metadata(false), image("FULL")}, true, false},
		{"minimal", []string{metadata(true), image("MINIMAL")}, false, true},
		{"noblob", []string{metadata(true), image("NOBLOB")}, false, true},
		{"minimal unnamed", []string{metadata(false), image("MINIMAL")}, false, false},
	}
	if kind == servers.KindMySQL {
		return append(list,
			mode{"compressed", []string{metadata(true), image("FULL"), "SET SESSION binlog_transaction_compression = ON"}, true, true},
			mode{"partial JSON", []string{metadata(true), image("FULL"), "SET SESSION binlog_transaction_compression = OFF, binlog_row_value_options = PARTIAL_JSON"}, true, true})
	}
	return append(list,
		mode{"minimal metadata", []string{"SET GLOBAL binlog_row_metadata = MINIMAL", image("FULL")}, true, false},
		mode{"compressed", []string{metadata(true), image("FULL"), "SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress_min_len = 10"}, true, true},
		mode{"old times", []string{metadata(true), image("FULL"), "SET GLOBAL log_bin_compress = OFF", "SET GLOBAL mysql56_temporal_format = OFF"}, true, true})
}

// Every type, under everything that changes how rows are logged, is read as SELECT
// shows it.
func TestValuesAreThoseThatSelectShows(t *testing.T) {
	for _, kind := range []servers.Kind{servers.KindMySQL, servers.KindMariaDB} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			d := servers.Start(t, kind, servers.Config{})
			for i, m := range modes(kind) {
				t.Run(m.name, func(t *testing.T) { testMode(t, d, kind, m, fmt.Sprintf("mode%d", i)) })
			}
		})
	}
}

func testMode(t *testing.T, d *servers.Database, kind servers.Kind, m mode, schema string) {
	// Global settings that stay with a session are set on another first.
	set := newRaw(t, d)
	for _, s := range m.set {
		set.must(s)
	}
	c := newRaw(t, d)
	c.must("CREATE DATABASE " + schema + " CHARACTER SET utf8mb4")
	c.must("USE " + schema)
	for _, s := range m.set {
		c.must(s)
	}
	list := tables(kind)
	for _, tab := range list {
		var columns []string
		for i, col := range tab.columns {
			columns = append(columns, fmt.Sprintf("c%d %s", i, col.definition))
		}
		c.must(fmt.Sprintf("CREATE TABLE %s (pk INT PRIMARY KEY, %s%s)%s", tab.name, strings.Join(columns, ", "), tab.more, tab.options))
	}
	c.must("FLUSH BINARY LOGS")
	want := make(map[string][][]string)
	for _, tab := range list {
		want[tab.name] = write(c, tab, m)
	}
	c.must("FLUSH BINARY LOGS")
	files, err := d.LogFiles()
	if err != nil {
		t.Fatal(err)
	}
	h := &images{t: t, mariadb: kind == servers.KindMariaDB, schema: schema, tables: map[uint64]*reading{}, got: map[string][][]string{}}
	if !m.named || kind == servers.KindMariaDB {
		h.describe = func(table string) []rowimage.Description { return describe(t, d, schema, table) }
	}
	f, err := binlog.NewFiles(files[len(files)-2:len(files)-1], nil)
	if err != nil {
		t.Fatal(err)
	}
	f.KeepRows = true
	if err := f.Run(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	for _, tab := range list {
		compare(t, tab, m, want[tab.name], h.got[tab.name])
	}
}

// write inserts, updates and deletes, and gives the images that the log should have.
func write(c *raw, tab table, m mode) (images [][]string) {
	rows := 0
	var names []string
	var set []column
	for i, col := range tab.columns {
		if col.values != nil {
			names = append(names, fmt.Sprintf("c%d", i))
			set = append(set, col)
			rows = max(rows, len(col.values))
		}
	}
	all := []string{"pk"}
	for i := range tab.columns {
		all = append(all, fmt.Sprintf("c%d", i))
	}
	selected := func(pk int) []string {
		got := c.rows(fmt.Sprintf("SELECT %s FROM %s WHERE pk = %d", strings.Join(all, ", "), tab.name, pk))
		if len(got) != 1 {
			c.t.Fatalf("%s: %d rows with pk %d", tab.name, len(got), pk)
		}
		return got[0]
	}
	values := func(row int) (list []string) {
		for _, col := range set {
			list = append(list, col.values[row%len(col.values)])
		}
		return list
	}
	for row := range rows {
		c.must(fmt.Sprintf("INSERT IGNORE INTO %s (pk, %s) VALUES (%d, %s)", tab.name, strings.Join(names, ", "), row, strings.Join(values(row), ", ")))
		images = append(images, selected(row))
	}
	for row := range rows {
		before := selected(row)
		list := values(row + 1)
		for i := range list {
			list[i] = names[i] + " = " + list[i]
		}
		c.must(fmt.Sprintf("UPDATE IGNORE %s SET %s WHERE pk = %d", tab.name, strings.Join(list, ", "), row))
		if after := selected(row); !slices.Equal(before, after) {
			images = append(images, before, after)
		}
	}
	if tab.name == "documents" {
		images = append(images, editDocuments(c, selected)...)
	}
	for row := range rows {
		images = append(images, selected(row))
		c.must(fmt.Sprintf("DELETE FROM %s WHERE pk = %d", tab.name, row))
	}
	return images
}

// editDocuments changes parts of JSON documents, which may be logged as diffs.
func editDocuments(c *raw, selected func(int) []string) (images [][]string) {
	filler := strings.Repeat("filler ", 200)
	images = append(images, selected(0))
	c.must(`UPDATE documents SET c0 = JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1, 2, 3), 'k.ey', 'x', 'q"uo\\te', 1, 'f', '` + filler + `') WHERE pk = 0`)
	images = append(images, selected(0))
	for _, expression := range []string{
		`JSON_SET(c0, '$.a', 2)`,
		`JSON_SET(c0, '$.b[1]', JSON_OBJECT('deep', JSON_ARRAY()))`,
		`JSON_SET(c0, '$.b[1].deep[0]', 'first', '$."k.ey"', NULL)`,
		`JSON_REMOVE(c0, '$.b[0]')`,
		`JSON_SET(c0, '$.new', 1.5, '$.c', TRUE, '$.b[9]', -1)`,
		`JSON_REPLACE(c0, '$."q\\"uo\\\\te"', 'ü', '$.a', 70000)`,
		`JSON_REMOVE(c0, '$.a', '$.c')`,
	} {
		images = append(images, selected(0))
		c.must("UPDATE documents SET c0 = " + expression + " WHERE pk = 0")
		images = append(images, selected(0))
	}
	return images
}

func compare(t *testing.T, tab table, m mode, want, got [][]string) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("%s: %d images, want %d", tab.name, len(got), len(want))
		return
	}
	for row := range want {
		for i := range want[row] {
			definition := "pk"
			if i > 0 {
				definition = tab.columns[i-1].definition
			}
			switch {
			case got[row][i] == absent && !m.whole:
			case got[row][i] != want[row][i]:
				t.Errorf("%s, image %d, %.80s: got %.200q, want %.200q", tab.name, row, definition, got[row][i], want[row][i])
			}
		}
	}
}

func describe(t *testing.T, d *servers.Database, schema, table string) []rowimage.Description {
	s, err := binlog.Connect(context.Background(), binlog.ServerConfig{Address: d.Addr(), User: "root"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	columns, err := s.Columns(t.Context(), schema, table)
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

// Under MINIMAL an INSERT's image lacks what is left to a constant default, and nothing
// else of a primary key. A row that has nothing at all is a row.
func TestMinimalImagesLackConstantDefaults(t *testing.T) {
	servers.Each(t, servers.Config{Args: []string{"--binlog-row-metadata=FULL"}}, func(t *testing.T, d *servers.Database) {
		c := newRaw(t, d)
		c.must("SET SESSION binlog_row_image = MINIMAL")
		columns := []string{
			"INT NOT NULL", "INT NOT NULL DEFAULT 7", "VARCHAR(9) NOT NULL DEFAULT ''", "VARCHAR(9) NOT NULL DEFAULT 'f()'", "DATE NOT NULL DEFAULT '2026-11-27'",
			"BIT(3) NOT NULL DEFAULT b'101'", "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP", "VARCHAR(40) NOT NULL DEFAULT (UUID())", "INT NOT NULL AUTO_INCREMENT, KEY (c8)",
		}
		var names, definitions []string
		for i, definition := range columns {
			names = append(names, fmt.Sprintf("c%d", i))
			definitions = append(definitions, fmt.Sprintf("c%d %s", i, definition))
		}
		c.must(fmt.Sprintf("CREATE TABLE defaults (%s, PRIMARY KEY (%s))", strings.Join(definitions, ", "), strings.Join(names, ", ")))
		c.must("CREATE TABLE bare (id INT PRIMARY KEY DEFAULT 4)")
		c.must("FLUSH BINARY LOGS")
		c.must("INSERT INTO defaults (c0) VALUES (1)")
		c.must("INSERT INTO bare () VALUES ()")
		c.must("FLUSH BINARY LOGS")
		files, err := d.LogFiles()
		if err != nil {
			t.Fatal(err)
		}
		f, err := binlog.NewFiles(files[len(files)-2:len(files)-1], nil)
		if err != nil {
			t.Fatal(err)
		}
		h := &images{t: t, mariadb: d.Kind() == servers.KindMariaDB, schema: "test", tables: map[uint64]*reading{}, got: map[string][][]string{}}
		f.KeepRows = true
		if err := f.Run(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if got := h.got["bare"]; len(got) != 1 || got[0][0] != absent {
			t.Errorf("a row of defaults is read as %q", got)
		}
		if len(h.got["defaults"]) != 1 {
			t.Fatalf("%d rows", len(h.got["defaults"]))
		}
		for i, col := range describe(t, d, "test", "defaults") {
			if lacks := h.got["defaults"][0][i] == absent; col.DefaultIsLeftOut(h.mariadb) != lacks {
				t.Errorf("%s, of which information_schema says %q: the image lacks it: %v", columns[i], col.Default, lacks)
			}
		}
	})
}
