package extract_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
	"github.com/mcsqueal/mcsqueal/extract"
)

// tableMap is a Table_map event of a table with a BIGINT and a VARCHAR(50) that may be
// NULL. Without names the log says neither those nor anything else of the columns.
func tableMap(id byte, schema, table string, names ...string) *binlog.Table {
	b := []byte{id, 0, 0, 0, 0, 0, 1, 0, byte(len(schema))}
	b = append(b, schema...)
	b = append(b, 0, byte(len(table)))
	b = append(b, table...)
	b = append(b, 0, 2, 8, 15, 2, 50, 0, 0b11)
	if names != nil {
		b = append(b, 1, 1, 0, 2, 1, 45)
		list := []byte{}
		for _, n := range names {
			list = append(append(list, byte(len(n))), n...)
		}
		b = append(append(b, 4, byte(len(list))), list...)
	}
	return &binlog.Table{ID: uint64(id), Flavor: binlog.MySQL, Schema: []byte(schema), Name: []byte(table), Body: b}
}

// image is a row: nil is NULL, no value at all an absent column.
type image struct {
	id   any // int or nil
	text any // string or nil
	// lacks are the columns that it has not, by place.
	lacks []int
}

func (i image) append(b []byte) []byte {
	var null, here byte
	var values []byte
	for n, v := range []any{i.id, i.text} {
		if slices.Contains(i.lacks, n) {
			continue
		}
		switch v := v.(type) {
		case nil:
			null |= 1 << here
		case int:
			values = binary.LittleEndian.AppendUint64(values, uint64(v))
		case string:
			values = append(append(values, byte(len(v))), v...)
		}
		here++
	}
	return append(append(b, null), values...)
}

func (i image) bitmap() byte {
	b := byte(0b11)
	for _, n := range i.lacks {
		b &^= 1 << n
	}
	return b
}

// rowsOf is an insert (one image), or an update (two).
func rowsOf(id byte, images ...image) *binlog.Rows {
	b := []byte{id, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2}
	kind := uint8(30)
	if len(images) == 2 {
		kind = 31
	}
	for _, i := range images {
		b = append(b, i.bitmap())
	}
	for _, i := range images {
		b = i.append(b)
	}
	return &binlog.Rows{Table: uint64(id), Type: kind, Body: b}
}

// derived is what came of an event's rows.
func derived(t *testing.T, r *extract.Rules, rows *binlog.Rows) (keys []string, refused []extract.Reason, err error) {
	t.Helper()
	err = r.Rows(rows, func(key []byte) { keys = append(keys, string(key)) }, func(f extract.Refusal) { refused = append(refused, f.Reason) })
	return keys, refused, err
}

func TestRulesDeriveKeysFromBothImages(t *testing.T) {
	long := strings.Repeat("x", 48)
	for _, c := range []struct {
		name    string
		rules   []extract.Rule
		images  []image
		keys    []string
		refused []extract.Reason
	}{
		{"an insert", one("shop.users", "user:{id}"), []image{{id: 7, text: "a"}}, []string{"user:7"}, nil},
		{"an update", one("shop.users", "user:{id}:{text}"), []image{{id: 7, text: "a"}, {id: -7, text: "b"}}, []string{"user:7:a", "user:-7:b"}, nil},
		{"names in any case", one("shop.users", "{ID}{Text}"), []image{{id: 7, text: "a"}}, []string{"7a"}, nil},
		{"the place", one("shop.users", "{schema}:{TABLE}:{id}"), []image{{id: 7, text: "a"}}, []string{"shop:users:7"}, nil},
		{"no column", one("shop.users", "users:list"), []image{{id: 7, text: "a"}}, []string{"users:list"}, nil},
		{"NULL", one("shop.users", "user:{id}:{text}", "user:{id}"), []image{{id: 7, text: nil}}, []string{"user:7"}, nil},
		{"an empty text", one("shop.users", "t:{text}"), []image{{id: 7, text: ""}}, []string{"t:"}, nil},
		{"nothing but an empty text", one("shop.users", "{text}"), []image{{id: 7, text: ""}}, nil, []extract.Reason{extract.Empty}},
		{"a space", one("shop.users", "t:{text}", "{id}"), []image{{id: 7, text: "a b"}}, []string{"7"}, []extract.Reason{extract.ControlByte}},
		{"too long", one("shop.users", strings.Repeat("{text}", 6)), []image{{id: 7, text: long}}, nil, []extract.Reason{extract.TooLong}},
		{"wildcards", []extract.Rule{{Table: "s*.use?s", Keys: []string{"a:{id}"}}, {Table: "*.*", Keys: []string{"b:{id}"}}, {Table: "shop.other", Keys: []string{"c:{id}"}}},
			[]image{{id: 7, text: "a"}}, []string{"a:7", "b:7"}, nil},
		{"what the image after lacks is as before", one("shop.users", "{id}:{text}"), []image{{id: 7, text: "a"}, {text: "b", lacks: []int{0}}}, []string{"7:a", "7:b"}, nil},
		{"NULL in the image before, and nothing after", one("shop.users", "{id}:{text}"), []image{{id: 7, text: nil}, {id: 8, lacks: []int{1}}}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRules(t, c.rules...)
			r.Begin()
			if !r.Table(tableMap(1, "shop", "users", "id", "text")) {
				t.Fatal("not wanted")
			}
			keys, refused, err := derived(t, r, rowsOf(1, c.images...))
			if err != nil || !slices.Equal(keys, c.keys) || !slices.Equal(refused, c.refused) {
				t.Errorf("got %q, refused %v, %v; want %q, %v", keys, refused, err, c.keys, c.refused)
			}
		})
	}
}

func one(table string, keys ...string) []extract.Rule {
	return []extract.Rule{{Table: table, Keys: keys}}
}

// What an image lacks for certain is never guessed, and keeps no other key from going.
func TestMissingValuesAreErrorsAndTheOtherKeysGoOut(t *testing.T) {
	for name, images := range map[string][]image{
		"the value before a change": {{id: 7, lacks: []int{1}}, {text: "b", lacks: []int{0}}},
		"neither image has it":      {{id: 7, lacks: []int{1}}, {id: 7, lacks: []int{1}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRules(t, one("shop.users", "text:{text}", "user:{id}")...)
			r.Table(tableMap(1, "shop", "users", "id", "text"))
			keys, _, err := derived(t, r, rowsOf(1, images...))
			var unserved *extract.UnservedError
			if !errors.As(err, &unserved) || unserved.Column != "text" || unserved.Rule != "shop.users" || !strings.Contains(unserved.Mend, "binlog_row_image = FULL") {
				t.Errorf("the error is %v", err)
			}
			if !slices.Contains(keys, "user:7") {
				t.Errorf("got %q, want user:7 among them", keys)
			}
		})
	}
}

func TestUnknownColumnsAndNamesAreErrors(t *testing.T) {
	r := newRules(t, one("shop.users", "user:{nope}", "user:{id}")...)
	r.Table(tableMap(1, "shop", "users", "id", "text"))
	keys, _, err := derived(t, r, rowsOf(1, image{id: 7, text: "a"}))
	if err == nil || !strings.Contains(err.Error(), "column nope: the table has no such column") || !slices.Equal(keys, []string{"user:7"}) {
		t.Errorf("got %q, %v", keys, err)
	}
	r.Begin()
	r.Table(tableMap(2, "shop", "users"))
	keys, _, err = derived(t, r, rowsOf(2, image{id: 7, text: "a"}))
	if err == nil || !strings.Contains(err.Error(), "no server to ask") || !strings.Contains(err.Error(), "SET PERSIST binlog_row_metadata = FULL") || keys != nil {
		t.Errorf("got %q, %v", keys, err)
	}
}

// described is what information_schema says of tableMap's table.
func described(id, text string) []rowimage.Description {
	return []rowimage.Description{
		{Name: id, DataType: "bigint", ColumnType: "bigint(20) unsigned", Precision: "20", Scale: "0", Key: "PRI"},
		{Name: text, DataType: "varchar", ColumnType: "varchar(50)", Charset: "latin1", OctetLength: "50"},
	}
}

// A server is asked once for a shape, and again when the shape or the log says so.
func TestDescriptionsAreAskedForWhenTheyMayHaveChanged(t *testing.T) {
	asked := 0
	answer := described("id", "text")
	var fails error
	r := newRules(t, one("shop.users", "{id}:{text}")...)
	r.Describe = func(schema, table string) ([]rowimage.Description, error) {
		asked++
		return answer, fails
	}
	expect := func(id byte, want int, keys ...string) {
		t.Helper()
		r.Begin()
		r.Table(tableMap(id, "shop", "users"))
		got, _, err := derived(t, r, rowsOf(id, image{id: -1, text: "gr\xfcn"}))
		if err != nil || !slices.Equal(got, keys) || asked != want {
			t.Errorf("got %q, %v, asked %d times; want %q, %d times", got, err, asked, keys, want)
		}
	}
	expect(1, 1, "18446744073709551615:grün")
	expect(1, 1, "18446744073709551615:grün")
	expect(2, 1, "18446744073709551615:grün") // opened again: the same shape under another id
	r.Redefined([]byte("shop"), []byte("other"))
	answer = described("text", "id")
	answer[0].Name, answer[1].Name = "text", "id"
	r.Redefined([]byte("shop"), []byte("users"))
	expect(2, 2, "grün:18446744073709551615")
	r.Forget()
	expect(2, 3, "grün:18446744073709551615")

	// An answer that does not fit is not believed.
	answer = answer[:1]
	r.Forget()
	r.Table(tableMap(2, "shop", "users"))
	if _, _, err := derived(t, r, rowsOf(2, image{id: 1, text: "a"})); err == nil || !strings.Contains(err.Error(), "has 1 columns now") {
		t.Errorf("the error is %v", err)
	}
	// A connection that fails is nobody's answer: it is asked again.
	answer, fails = described("id", "text"), errors.New("lost")
	r.Forget()
	r.Table(tableMap(2, "shop", "users"))
	if _, _, err := derived(t, r, rowsOf(2, image{id: 1, text: "a"})); !errors.Is(err, fails) || errors.As(err, new(*extract.UnservedError)) {
		t.Errorf("the error is %v", err)
	}
	fails = nil
	if keys, _, err := derived(t, r, rowsOf(2, image{id: 1, text: "a"})); err != nil || !slices.Equal(keys, []string{"1:a"}) {
		t.Errorf("got %q, %v", keys, err)
	}
	fails = &binlog.UnsureError{What: "changed since", Mend: "GRANT"}
	r.Forget()
	r.Table(tableMap(2, "shop", "users"))
	if _, _, err := derived(t, r, rowsOf(2, image{id: 1, text: "a"})); !errors.As(err, new(*extract.UnservedError)) || !strings.Contains(err.Error(), "changed since") || !strings.Contains(err.Error(), "GRANT, or SET PERSIST") {
		t.Errorf("the error is %v", err)
	}
}

// What a server could not tell is asked again once a statement has changed the table,
// under whatever id its rows come.
func TestRefusalsDoNotOutliveARedefinition(t *testing.T) {
	var fails error = &binlog.UnsureError{What: "changed since"}
	r := newRules(t, one("shop.users", "{id}")...)
	r.Describe = func(string, string) ([]rowimage.Description, error) { return described("id", "text"), fails }
	table, rows := tableMap(1, "shop", "users"), rowsOf(1, image{id: 7, text: "a"})
	r.Begin()
	r.Table(table)
	if _, _, err := derived(t, r, rows); err == nil || !strings.Contains(err.Error(), "changed since") {
		t.Fatalf("the error is %v", err)
	}
	fails = nil
	r.Redefined([]byte("shop"), []byte("users"))
	r.Begin()
	r.Table(table)
	if keys, _, err := derived(t, r, rows); err != nil || !slices.Equal(keys, []string{"7"}) {
		t.Errorf("got %q, %v", keys, err)
	}
}

// MariaDB's old times have a length that the log does not say: nothing is read beyond
// them, or in front of them, for a row ends where the next begins.
func TestTimesOfUnknownLengthAreAskedFor(t *testing.T) {
	const names = "\x02id\x02at\x01n"
	body := "\x01\x00\x00\x00\x00\x00\x01\x00\x04shop\x00\x05users\x00\x03\x08\x0b\x08\x00\x00" + "\x01\x01\x00" + "\x04\x08" + names
	table := &binlog.Table{ID: 1, Flavor: binlog.MariaDB, Schema: []byte("shop"), Name: []byte("users"), Body: []byte(body)}
	// TIME(3) takes five bytes here: 01:02:03.456 behind −839:00:00, in thousandths.
	row := func(id, n byte) string {
		at := uint64(839*3600*1000 + 3723456)
		b := []byte{0, id, 0, 0, 0, 0, 0, 0, 0, byte(at >> 32), byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}
		return string(append(b, n, 0, 0, 0, 0, 0, 0, 0))
	}
	rows := &binlog.Rows{Table: 1, Type: 30, Body: []byte("\x01\x00\x00\x00\x00\x00\x01\x00\x02\x00\x03\x07" + row(1, 7) + row(2, 8))}
	rules := one("shop.users", "{id}", "{at}:{n}", "list")

	r := newRules(t, rules...)
	r.Table(table)
	keys, _, err := derived(t, r, rows)
	var unserved *extract.UnservedError
	if !errors.As(err, &unserved) || unserved.Column != "id" || !strings.Contains(err.Error(), "column at are") || unserved.Mend != "" || !slices.Equal(keys, []string{"list"}) {
		t.Errorf("from files: got %q, %v", keys, err)
	}

	number := func(name string) rowimage.Description {
		return rowimage.Description{Name: name, DataType: "bigint", ColumnType: "bigint(20)", Precision: "19", Scale: "0"}
	}
	columns := []rowimage.Description{number("id"), {Name: "at", DataType: "time", ColumnType: "time(3)", Fraction: "3"}, number("n")}
	r = newRules(t, rules...)
	r.Describe = func(string, string) ([]rowimage.Description, error) { return columns, nil }
	r.Table(table)
	keys, _, err = derived(t, r, rows)
	if want := []string{"1", "01:02:03.456:7", "list", "2", "01:02:03.456:8", "list"}; err != nil || !slices.Equal(keys, want) {
		t.Errorf("got %q, %v; want %q", keys, err, want)
	}
}

// Tables whose ids end alike share a place in what is remembered, and nothing else.
func TestTablesInOneTransactionAreKeptApart(t *testing.T) {
	r := newRules(t, one("shop.*", "{table}:{id}")...)
	r.Begin()
	a, b := tableMap(1, "shop", "a", "id", "t"), tableMap(1, "shop", "b", "id", "t")
	b.ID += 256
	b.Body[1] = 1
	r.Table(a)
	r.Table(b)
	for i, want := range []string{"a:7", "b:7"} {
		rows := rowsOf(1, image{id: 7, text: "x"})
		rows.Table += uint64(256 * i)
		if keys, _, err := derived(t, r, rows); err != nil || !slices.Equal(keys, []string{want}) {
			t.Errorf("got %q, %v; want %s", keys, err, want)
		}
	}
}

func TestRulesThatAreNoneAreErrors(t *testing.T) {
	for _, rule := range []extract.Rule{
		{}, {Table: "shop.users"}, {Table: "users", Keys: []string{"a"}}, {Table: "shop.[", Keys: []string{"a"}},
		{Table: "shop.users", Keys: []string{""}}, {Table: "shop.users", Keys: []string{"{"}}, {Table: "shop.users", Keys: []string{"{}"}},
	} {
		if _, err := extract.NewRules([]extract.Rule{rule}); err == nil {
			t.Errorf("%+v is taken", rule)
		}
	}
}

// TestRulesAllocatesNothing holds Table and Rows to that.
func TestRulesAllocatesNothing(t *testing.T) {
	r := newRules(t, one("shop.users", "user:{id}", "user:{id}:{schema}")...)
	events := record(t, binlogtest.Config{}, "users", "orders")
	n := 0
	key := func([]byte) { n++ }
	if allocs := testing.AllocsPerRun(100, func() {
		r.Begin()
		for i := range events {
			r.Table(&events[i].table)
			if err := r.Rows(&events[i].rows, key, nil); err != nil {
				t.Fatal(err)
			}
		}
	}); allocs != 0 || n == 0 {
		t.Errorf("%v allocations for %d keys, want none", allocs, n)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The values of an ENUM take much more memory than the log, and that is bounded.
func TestRulesRememberTablesWithinABound(t *testing.T) {
	const members = 50_000
	r := newRules(t, one("shop.*", "{e}")...)
	before := heap()
	for id := range byte(100) {
		body := []byte{id, 0, 0, 0, 0, 0, 1, 0, 4, 's', 'h', 'o', 'p', 0, 1, 't', 0, 1, 254, 2, 0xf7, 2, 1}
		values := append([]byte{0xfc, members & 0xff, members >> 8}, bytes.Repeat([]byte{1, 'x'}, members)...)
		body = append(body, 10, 1, 45, 4, 2, 1, 'e', 6, 0xfd, byte(len(values)), byte(len(values)>>8), byte(len(values)>>16))
		body = append(body, values...)
		r.Begin()
		r.Table(&binlog.Table{ID: uint64(id), Schema: []byte("shop"), Name: []byte("t"), Body: body})
		rows := &binlog.Rows{Table: uint64(id), Type: 30, Body: []byte{id, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 1, 0, 7, 0}}
		if keys, _, err := derived(t, r, rows); err != nil || !slices.Equal(keys, []string{"x"}) {
			t.Fatalf("got %q, %v", keys, err)
		}
	}
	if now := heap(); now > before+48<<20 {
		t.Errorf("%d bytes are kept", now-before)
	}
	runtime.KeepAlive(r)
}

// What is remembered of tables keeps nothing of their events.
func TestRulesKeepNoEvents(t *testing.T) {
	const tables, size = 8, 4 << 20
	for _, compressed := range []bool{false, true} {
		r := newRules(t, one("shop.*", "{id}:{text}")...)
		before := heap()
		for id := range byte(tables) {
			table := tableMap(id, "shop", fmt.Sprint("t", id), "id", "text")
			body := rowsOf(id).Body
			body = append(body, 0b11)
			var rows []byte
			for len(rows) < size {
				rows = image{id: 1, text: strings.Repeat("x", 50)}.append(rows)
			}
			kind := uint8(30)
			if compressed {
				table.Flavor, kind = binlog.MariaDB, 169
				var packed bytes.Buffer
				packed.Write([]byte{0x84, 0, 0, 0, 0})
				z := zlib.NewWriter(&packed)
				_, _ = z.Write(rows) // to memory
				_ = z.Close()
				binary.BigEndian.PutUint32(packed.Bytes()[1:], uint32(len(rows)))
				rows = packed.Bytes()
			}
			r.Begin()
			r.Table(table)
			n := 0
			if err := r.Rows(&binlog.Rows{Table: uint64(id), Type: kind, Body: append(body, rows...)}, func([]byte) { n++ }, nil); err != nil || n < size/100 {
				t.Fatalf("%d keys, %v", n, err)
			}
		}
		if now := heap(); now > before+size/2 {
			t.Errorf("compressed %v: %d bytes are kept after %d tables' events of %d", compressed, now-before, tables, size)
		}
		runtime.KeepAlive(r)
	}
}

// Nor do tables without rules, whatever their ids are.
func TestTablesWithoutRulesAllocatesNothing(t *testing.T) {
	r := newRules(t, one("shop.users", "{id}")...)
	a, b := tableMap(1, "shop", "orders"), tableMap(1, "shop", "items")
	b.ID += 256
	if allocs := testing.AllocsPerRun(100, func() {
		if r.Table(a) || r.Table(b) {
			t.Fatal("wanted")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
	// They do not take the place of one that has a rule, nor are they taken for it.
	users := tableMap(1, "shop", "users", "id", "text")
	r.Begin()
	if !r.Table(users) || r.Table(b) || r.Table(tableMap(1, "shop", "")) {
		t.Error("not one wanted alone")
	}
}

// Whatever rows are, a key that comes of them is one.
func FuzzRules(f *testing.F) {
	f.Add(rowsOf(1, image{id: 7, text: "a"}).Body, uint8(30))
	f.Add(rowsOf(1, image{id: 7, text: "a"}, image{id: 8, text: "a b"}).Body, uint8(31))
	f.Fuzz(func(t *testing.T, body []byte, kind uint8) {
		r := newRules(t, one("shop.users", "{id}{text}", "{text}")...)
		r.Table(tableMap(1, "shop", "users", "id", "text"))
		_ = r.Rows(&binlog.Rows{Table: 1, Type: kind, Body: body}, func(key []byte) {
			if len(key) == 0 || len(key) > 250 || slices.ContainsFunc(key, func(c byte) bool { return c <= ' ' || c == 0x7f }) {
				t.Errorf("the key %q", key)
			}
		}, func(extract.Refusal) {})
	})
}

func ExampleColumns() {
	columns, err := extract.Columns("user:{id}:{schema}:{email}:{ID}")
	fmt.Println(columns, err)
	// Output: [id email] <nil>
}
