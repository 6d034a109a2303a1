package rowimage

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// codes are all characters of one and two bytes, those of three bytes of the
// Japanese character sets, and many of four bytes.
func codes() (all [][]byte) {
	for i := range 256 {
		all = append(all, []byte{byte(i)})
	}
	for i := range 1 << 16 {
		all = append(all, []byte{byte(i >> 8), byte(i)})
	}
	for i := 0xa1; i < 0xff; i++ {
		for j := 0xa1; j < 0xff; j++ {
			all = append(all, []byte{0x8f, byte(i), byte(j)})
		}
	}
	for i := 0x81; i < 0xff; i += 3 {
		for j := 0x30; j < 0x3a; j++ {
			for k := 0x81; k < 0xff; k += 5 {
				all = append(all, []byte{byte(i), byte(j), byte(k), byte(0x30 + (i+j+k)%10)})
			}
		}
	}
	return all
}

// What is converted at all is converted as the servers do; what is not is refused.
func TestTextIsConvertedAsServersDo(t *testing.T) {
	for _, kind := range []servers.Kind{servers.KindMySQL, servers.KindMariaDB} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			d := servers.Start(t, kind, servers.Config{})
			c, err := d.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			must := func(statement string) {
				if _, err := c.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%.100s: %v", statement, err)
				}
			}
			must("SET NAMES utf8mb4")
			must("CREATE TABLE codes (id INT PRIMARY KEY AUTO_INCREMENT, b VARBINARY(4))")
			all := codes()
			for part := range slices.Chunk(all, 2000) {
				var values []string
				for _, b := range part {
					values = append(values, fmt.Sprintf("(x'%x')", b))
				}
				must("INSERT INTO codes (b) VALUES " + strings.Join(values, ","))
			}
			names := slices.Sorted(maps.Keys(singleByte))
			names = append(names, slices.Sorted(maps.Keys(manyByte))...)
			for _, name := range append(names, "ucs2", "utf16", "utf16le", "utf32") {
				compareCharset(t, c, name, all)
			}
			// Every collation's id leads to its character set.
			rows, err := c.QueryContext(t.Context(), map[servers.Kind]string{
				servers.KindMySQL:   "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS",
				servers.KindMariaDB: "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS NOT NULL",
			}[kind])
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var id uint64
				var want string
				if err := rows.Scan(&id, &want); err != nil {
					t.Fatal(err)
				}
				if got := charsetOf(id); got != want {
					t.Errorf("collation %d is of %q, want %q", id, got, want)
				}
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func compareCharset(t *testing.T, c *sql.Conn, name string, all [][]byte) {
	t.Helper()
	text, err := newCharset(name)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.QueryContext(t.Context(), "SELECT CONVERT(CONVERT(b USING "+name+") USING utf8mb4) FROM codes ORDER BY id")
	if err != nil {
		if strings.Contains(err.Error(), "Unknown character set") {
			return
		}
		t.Fatal(err)
	}
	defer rows.Close()
	converted, wrong := 0, 0
	for _, b := range all {
		var want sql.RawBytes
		if !rows.Next() {
			t.Fatalf("%s: the rows end at %x: %v", name, b, rows.Err())
		}
		if err := rows.Scan(&want); err != nil {
			t.Fatal(err)
		}
		got, err := text.appendUTF8(nil, b)
		if err != nil {
			continue
		}
		converted++
		// What is no character the server pads, or shows as a question mark; such text
		// is in no column.
		invalid := want == nil || text.unit > len(b)
		if !invalid && string(got) != string(want) {
			if wrong++; wrong <= 20 {
				t.Errorf("%s: %x becomes %q (%x), on the server %q", name, b, got, got, want)
			}
		}
	}
	if wrong > 20 {
		t.Errorf("%s: %d in all", name, wrong)
	}
	t.Logf("%s: %d converted", name, converted)
}
