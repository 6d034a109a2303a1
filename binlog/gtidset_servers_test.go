package binlog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// A console is one connection to a server, for what SET SESSION leaves behind.
type console struct {
	t    *testing.T
	conn *sql.Conn
}

func openConsole(t *testing.T, d *servers.Database) console {
	t.Helper()
	conn, err := d.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close session: %v", err)
		}
	})
	return console{t, conn}
}

func (s console) do(format string, args ...any) {
	s.t.Helper()
	statement := fmt.Sprintf(format, args...)
	if _, err := s.conn.ExecContext(context.Background(), statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// ask is the answer to a query of one value, without the newlines that MySQL puts
// into sets.
func (s console) ask(format string, args ...any) string {
	s.t.Helper()
	var value string
	query := fmt.Sprintf(format, args...)
	if err := s.conn.QueryRowContext(context.Background(), query).Scan(&value); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return strings.ReplaceAll(value, "\n", "")
}

// headOfNewestFile is the body of the first event of a kind in the newest log file.
func headOfNewestFile(t *testing.T, d *servers.Database, kind byte) []byte {
	t.Helper()
	files, err := d.LogFiles()
	if err != nil {
		t.Fatal(err)
	}
	newest := files[len(files)-1]
	log, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	const header, checksum = 19, 4
	for rest := log[firstOffset:]; len(rest) > header; {
		size := binary.LittleEndian.Uint32(rest[9:])
		if rest[4] == kind {
			return rest[header : size-checksum]
		}
		rest = rest[size:]
	}
	t.Fatalf("%s has no event of type %d", newest, kind)
	return nil
}

func TestMySQLAgreesAboutSets(t *testing.T) {
	d := servers.MySQL(t, servers.Config{})
	s := openConsole(t, d)
	random := rand.New(rand.NewPCG(1, 2))
	uuids := []string{uuidA, uuidB, uuidC}

	// What has been executed reads and prints as the server prints it, and is, byte
	// for byte, what stands at the head of the next file.
	check := func() {
		t.Helper()
		s.do("FLUSH BINARY LOGS")
		executed := s.ask("SELECT @@GLOBAL.gtid_executed")
		set, err := ParseGTIDSet(MySQL, executed)
		if err != nil || set.String() != executed {
			t.Fatalf("gtid_executed %s was read as %s, %v", executed, set, err)
		}
		body := headOfNewestFile(t, d, 35) // PREVIOUS_GTIDS_LOG_EVENT
		decoded, err := DecodeMySQLGTIDSet(body)
		if err != nil || !decoded.Equal(set) {
			t.Fatalf("gtid_executed %s, but %x was decoded as %s, %v", executed, body, decoded, err)
		}
		if encoded, err := set.Encode(); err != nil || string(encoded) != string(body) {
			t.Fatalf("%s was encoded as %x, %v; want %x", set, encoded, err, body)
		}
	}
	execute := func(gtid string) {
		t.Helper()
		s.do("SET gtid_next='%s'", gtid)
		s.do("COMMIT")
		s.do("SET gtid_next=AUTOMATIC")
	}
	check()
	for range 40 {
		execute(fmt.Sprintf("%s:%d", uuids[random.IntN(2)], 1+random.IntN(60)))
	}
	check()
	tags := []string{"", "_", "__", "_b", "a", "a1", "a1_", "a_", "a_1", "B", "z9", tag32}
	for range 150 {
		gtid := uuids[random.IntN(3)]
		if tag := tags[random.IntN(len(tags))]; tag != "" {
			gtid += ":" + tag
		}
		execute(fmt.Sprintf("%s:%d", gtid, 1+random.IntN(12)))
	}
	execute(fmt.Sprintf("%s:%d", uuidB, uint64(maxGNO)))
	s.do("SET gtid_next='AUTOMATIC:Deploy'")
	s.do("CREATE DATABASE tagged")
	s.do("SET gtid_next=AUTOMATIC")
	check()

	draw := func() *GTIDSet {
		set := NewGTIDSet(MySQL)
		for range random.IntN(12) {
			lo := 1 + random.Uint64N(30)
			if err := set.AddRange(sid(t, uuids[random.IntN(3)]), strings.ToLower(tags[random.IntN(4)]), lo, lo+random.Uint64N(10)); err != nil {
				t.Fatal(err)
			}
		}
		return set
	}
	for range 300 {
		a, b := draw(), draw()
		union := a.Clone()
		if err := union.Union(b); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ what, ours, servers string }{
			{"missing", b.Missing(a).String(), s.ask("SELECT GTID_SUBTRACT('%s', '%s')", a, b)},
			{"union", union.String(), s.ask("SELECT GTID_SUBTRACT('%s,%s', '')", a, b)},
			{"intersection", a.Intersect(b).String(), s.ask("SELECT GTID_SUBTRACT('%[1]s', GTID_SUBTRACT('%[1]s', '%[2]s'))", a, b)},
			{"covers", fmt.Sprint(b.Covers(a)), s.ask("SELECT IF(GTID_SUBSET('%s', '%s'), 'true', 'false')", a, b)},
		} {
			if c.ours != c.servers {
				t.Fatalf("%s of %s and %s: %s; the server says %s", c.what, a, b, c.ours, c.servers)
			}
		}
	}
}

func TestMariaDBAgreesAboutSets(t *testing.T) {
	d := servers.MariaDB(t, servers.Config{})
	s := openConsole(t, d)
	random := rand.New(rand.NewPCG(1, 2))
	check := func() {
		t.Helper()
		executed := s.ask("SELECT @@GLOBAL.gtid_binlog_pos")
		set, err := ParseGTIDSet(MariaDB, executed)
		if err != nil {
			t.Fatal(err)
		}
		s.do("FLUSH BINARY LOGS")
		body := headOfNewestFile(t, d, 163) // GTID_LIST_EVENT
		if decoded, err := DecodeMariaDBGTIDList(body); err != nil || !decoded.Equal(set) {
			t.Fatalf("gtid_binlog_pos %s, but %x was decoded as %s, %v", executed, body, decoded, err)
		}
		// It prints domains in no order.
		s.do("SET GLOBAL gtid_slave_pos='%s'", set)
		if kept, err := ParseGTIDSet(MariaDB, s.ask("SELECT @@GLOBAL.gtid_slave_pos")); err != nil || !kept.Equal(set) {
			t.Fatalf("the server took %s for %s, %v", set, kept, err)
		}
	}
	check()
	// Several servers write to a domain, and their numbers fall back.
	s.do("CREATE DATABASE d; CREATE TABLE d.t (i INT)")
	for range 60 {
		s.do("SET SESSION gtid_domain_id=%d, server_id=%d, gtid_seq_no=%d; INSERT d.t VALUES (1)",
			random.IntN(4)*random.IntN(1000), 70+random.IntN(4), 1+random.IntN(1000))
	}
	check()
}
