package rowimage_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
)

// logged gives a Table_map event and a rows event, as a log has them.
func logged(t testing.TB, c binlogtest.Config, tx binlogtest.Tx) (table, rows []byte, kind uint8) {
	t.Helper()
	var log bytes.Buffer
	w := binlogtest.NewWriter(&log, c)
	w.Transaction(tx)
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	files, err := binlog.NewFiles([]string{"-"}, &log)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{images: images{t: t}}
	if err := files.Run(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return k.table, k.rows, k.kind
}

// keeper is a Handler that keeps the last table and its rows.
type keeper struct {
	images
	table, rows []byte
	kind        uint8
}

func (k *keeper) Table(t *binlog.Table) (bool, error) {
	k.table = bytes.Clone(t.Body)
	return true, nil
}

func (k *keeper) Rows(r *binlog.Rows) error {
	k.rows, k.kind = bytes.Clone(r.Body), r.Type
	return nil
}

func oneRow(compress bool) binlogtest.Tx {
	return binlogtest.Tx{Compress: compress, Statements: []binlogtest.Stmt{{Schema: "shop", Table: "users", RowBytes: 100}}}
}

// walk reads every value of an event, as often as it says; it is what is fuzzed.
func walk(t *rowimage.Table, kind uint8, body []byte) (values int) {
	var all []int
	readers := make([]*rowimage.Value, len(t.Columns))
	for i := range t.Columns {
		all = append(all, i)
		readers[i], _ = t.NewValue(i)
	}
	r := rowimage.NewRows(t, all)
	if r.Open(kind, body) != nil {
		return 0
	}
	for n := 0; n < 1000 && r.Next(); n++ {
		for i, image := range [][]rowimage.Cell{r.Before, r.After} {
			for c, cell := range image {
				if cell.State != rowimage.Here || readers[c] == nil {
					continue
				}
				var before rowimage.Cell
				if i == 1 && r.Before != nil {
					before = r.Before[c]
				}
				if _, err := readers[c].Append(nil, cell, before, 250); err == nil {
					values++
				}
			}
		}
	}
	return values
}

func TestRowsOfBothServersAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		flavor   binlog.Flavor
		compress bool
	}{
		"mysql": {binlog.MySQL, false}, "mariadb": {binlog.MariaDB, false}, "mariadb, compressed": {binlog.MariaDB, true},
	} {
		t.Run(name, func(t *testing.T) {
			table, rows, kind := logged(t, binlogtest.Config{Flavor: c.flavor}, oneRow(c.compress))
			parsed, err := rowimage.ParseTable(table, c.flavor == binlog.MariaDB)
			if err != nil {
				t.Fatal(err)
			}
			if n := walk(parsed, kind, rows); n != 2 {
				t.Errorf("%d values, want 2", n)
			}
			if parsed.Column("ID") != 0 || parsed.Column("x") != -1 || len(parsed.PrimaryKey) != 1 {
				t.Errorf("read %+v", parsed)
			}
			// Cut off anywhere, it is an error and no panic.
			for n := range len(rows) {
				walk(parsed, kind, rows[:n])
			}
			for n := range len(table) {
				_, _ = rowimage.ParseTable(table[:n], c.flavor == binlog.MariaDB)
			}
		})
	}
}

func TestRowsAllocatesNothing(t *testing.T) {
	table, rows, kind := logged(t, binlogtest.Config{}, oneRow(false))
	parsed, err := rowimage.ParseTable(table, false)
	if err != nil {
		t.Fatal(err)
	}
	value, err := parsed.NewValue(0)
	if err != nil {
		t.Fatal(err)
	}
	r := rowimage.NewRows(parsed, []int{0})
	dst := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		if r.Open(kind, rows) != nil || !r.Next() {
			t.Fatal(r.Err())
		}
		if dst, err = value.Append(dst[:0], r.After[0], rowimage.Cell{}, 250); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for an event, want none", n)
	}
}

// BenchmarkRows walks over rows of two columns, of which one is wanted.
func BenchmarkRows(b *testing.B) {
	table, rows, kind := logged(b, binlogtest.Config{}, oneRow(false))
	parsed, err := rowimage.ParseTable(table, false)
	if err != nil {
		b.Fatal(err)
	}
	// One event with many rows: the image again and again.
	const head = 6 + 2 + 2 + 1 + 1
	image := rows[head:]
	const n = 100
	many := append(bytes.Clone(rows[:head]), bytes.Repeat(image, n)...)
	r := rowimage.NewRows(parsed, []int{0})
	b.SetBytes(int64(len(many)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Open(kind, many); err != nil {
			b.Fatal(err)
		}
		got := 0
		for r.Next() {
			got++
		}
		if got != n {
			b.Fatalf("%d rows: %v", got, r.Err())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}

// everyType is a Table_map event with a column of every type there is.
func everyType() []byte {
	body := []byte{1, 0, 0, 0, 0, 0, 1, 0, 1, 's', 0, 1, 't', 0}
	types := []struct {
		kind byte
		meta []byte
	}{
		{1, nil}, {2, nil}, {3, nil}, {4, []byte{4}}, {5, []byte{8}}, {7, nil}, {8, nil}, {9, nil}, {10, nil}, {11, nil}, {12, nil}, {13, nil},
		{15, []byte{44, 1}}, {16, []byte{3, 1}}, {17, []byte{6}}, {18, []byte{3}}, {19, []byte{1}}, {140, []byte{2}}, {141, []byte{100, 0}},
		{242, []byte{4}}, {245, []byte{4}}, {246, []byte{10, 2}}, {254, []byte{0xf7, 1}}, {254, []byte{0xf8, 2}}, {252, []byte{2}},
		{253, []byte{10, 0}}, {254, []byte{254, 16}}, {255, []byte{4}},
	}
	body = append(body, byte(len(types)))
	var meta []byte
	for _, c := range types {
		body = append(body, c.kind)
		meta = append(meta, c.meta...)
	}
	body = append(body, byte(len(meta)))
	body = append(body, meta...)
	body = append(body, make([]byte, (len(types)+7)/8)...)
	body = append(body, 1, 1, 0)         // signed
	body = append(body, 2, 1, 45)        // utf8mb4
	body = append(body, 10, 1, 8)        // latin1
	body = append(body, 6, 3, 1, 1, 'x') // ENUM's value
	return append(body, 5, 3, 1, 1, 'y')
}

// What no ENUM and no SET can have is not taken: each value is larger in memory.
func TestTooManyMembersAreErrors(t *testing.T) {
	table := func(columns int, kind, optional byte, members int) error {
		body := []byte{1, 0, 0, 0, 0, 0, 1, 0, 1, 's', 0, 1, 't', 0, byte(columns)}
		body = append(body, bytes.Repeat([]byte{254}, columns)...)
		body = append(append(body, byte(2*columns)), bytes.Repeat([]byte{kind, 2}, columns)...)
		body = append(body, make([]byte, (columns+7)/8)...)
		one := append([]byte{0xfd, byte(members), byte(members >> 8), byte(members >> 16)}, make([]byte, members)...)
		values := bytes.Repeat(one, columns)
		body = append(body, optional, 0xfe)
		body = binary.LittleEndian.AppendUint64(body, uint64(len(values)))
		_, err := rowimage.ParseTable(append(body, values...), false)
		return err
	}
	for _, c := range []struct {
		columns          int
		kind, optional   byte
		members, tooMany int
	}{{1, 0xf7, 6, 65_535, 65_536}, {1, 0xf8, 5, 64, 65}, {17, 0xf7, 6, 60_000, 65_000}} {
		if err := table(c.columns, c.kind, c.optional, c.members); err != nil {
			t.Errorf("%d columns with %d: %v", c.columns, c.members, err)
		}
		if err := table(c.columns, c.kind, c.optional, c.tooMany); err == nil {
			t.Errorf("%d columns with %d are taken", c.columns, c.tooMany)
		}
	}
}

// Whatever a log says of a table, and whatever follows, nothing panics.
func FuzzTable(f *testing.F) {
	table, rows, kind := logged(f, binlogtest.Config{}, oneRow(false))
	f.Add(table, rows, kind, false)
	table, rows, kind = logged(f, binlogtest.Config{Flavor: binlog.MariaDB}, oneRow(true))
	f.Add(table, rows, kind, true)
	full := []byte{1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 28, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0}
	f.Add(everyType(), append(full, bytes.Repeat([]byte{1, 0, 0}, 60)...), uint8(30), false)
	update := append([]byte{1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 28, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f}, make([]byte, 300)...)
	f.Add(everyType(), update, uint8(39), false)
	f.Fuzz(func(t *testing.T, table, rows []byte, kind uint8, mariadb bool) {
		if kind >= 166 && len(rows) > 20 && binary.LittleEndian.Uint32(rows[16:]) > 1<<20 {
			return // what is compressed may be large, and then takes long
		}
		parsed, err := rowimage.ParseTable(table, mariadb)
		if err != nil {
			return
		}
		walk(parsed, kind, rows)
	})
}
