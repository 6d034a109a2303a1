package integration

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

const (
	// user is what mcsqueal logs in as: it has the two privileges that it asks for,
	// and no other.
	user     = "mcsqueal"
	password = "correct horse"
)

// addUser makes the user, with the statements that mcsqueal itself names.
func addUser(ctx context.Context, db *servers.Database) error {
	for _, statement := range []string{
		"CREATE USER 'mcsqueal'@'%' IDENTIFIED BY 'correct horse'",
		"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'mcsqueal'@'%'",
	} {
		if _, err := db.DB().ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %s: %w", db, statement, err)
		}
	}
	return nil
}

// database is a server with a schema that is the test's own.
type database struct {
	*servers.Database
	schema string
}

var schemas atomic.Int64

// newDatabase makes a schema for a test.
func newDatabase(t *testing.T, db *servers.Database) *database {
	t.Helper()
	d := &database{Database: db, schema: fmt.Sprintf("shop%d", schemas.Add(1))}
	if _, err := db.DB().ExecContext(t.Context(), "CREATE DATABASE "+d.schema); err != nil {
		t.Fatal(err)
	}
	d.exec(t, "CREATE TABLE settled (id INT AUTO_INCREMENT PRIMARY KEY)")
	return d
}

// url is the source as mcsqueal is told it.
func (d *database) url() string {
	return strings.Replace(d.URL(), "root@", user+"@", 1)
}

// socketURL is the same through the Unix socket.
func (d *database) socketURL() string {
	return fmt.Sprintf("%s://%s@/?socket=%s", nameOf(d.Kind()), user, d.Socket())
}

func (d *database) mysql() bool { return d.Kind() == servers.KindMySQL }

// key gives a key of this test alone its full name.
func (d *database) key(name string) string { return d.schema + ":" + name }

func (d *database) keys(names ...string) []string {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = d.key(name)
	}
	return keys
}

// numbered are n keys.
func (d *database) numbered(name string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = d.key(fmt.Sprintf("%s:%d", name, i))
	}
	return keys
}

// session is one connection, in the test's schema.
type session struct {
	db   *database
	conn *sql.Conn
}

// session opens a connection that is closed, for good, with the test.
func (d *database) session(t *testing.T) *session {
	t.Helper()
	conn, err := d.DB().Conn(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	s := &session{db: d, conn: conn}
	t.Cleanup(s.close)
	s.exec(t, "USE "+d.schema)
	return s
}

// close ends the connection instead of giving it back: what was set in it is gone.
func (s *session) close() {
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // so that it is not kept
	_ = s.conn.Close()
}

// exec runs a statement; {name} in it becomes a key of the test's own. With
// arguments it is prepared by the server.
func (s *session) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	statement = s.db.named(statement)
	if _, err := s.conn.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %s: %v", s.db, clip(statement), err)
	}
}

func (s *session) text(t *testing.T, query string, args ...any) string {
	t.Helper()
	var value sql.NullString
	if err := s.conn.QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %s: %v", s.db, query, err)
	}
	return value.String
}

// named replaces {name} by the key of that name.
func (d *database) named(statement string) string {
	return strings.NewReplacer("{", d.schema+":", "}", "").Replace(statement)
}

// exec runs a statement in a session of its own.
func (d *database) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	s := d.session(t)
	defer s.close()
	s.exec(t, statement, args...)
}

// commit writes a row in a statement that names the keys.
func (s *session) commit(t *testing.T, keys ...string) {
	t.Helper()
	s.exec(t, "INSERT /* mc: "+strings.Join(keys, " ")+" */ INTO settled VALUES ()")
}

// settle waits until all that has been committed is delivered to a cache: it commits
// one more key. That holds where one connection gets all keys in order.
func (s *session) settle(t *testing.T, m *servers.Memcached) {
	t.Helper()
	key := s.db.key("settled")
	fill(t, m, key)
	s.commit(t, key)
	awaitGone(t, m, key)
}

// place is where the binary log ends: a file and an offset.
func (s *session) place(t *testing.T) (file string, offset uint64) {
	t.Helper()
	query := "SHOW BINARY LOG STATUS"
	if !s.db.mysql() {
		query = "SHOW MASTER STATUS"
	}
	for row := range s.rows(t, query) {
		file = row["File"]
		if _, err := fmt.Sscan(row["Position"], &offset); err != nil {
			t.Fatal(err)
		}
	}
	return file, offset
}

// executed is the set of GTIDs that the log has.
func (s *session) executed(t *testing.T) string {
	t.Helper()
	if s.db.mysql() {
		return strings.ReplaceAll(s.text(t, "SELECT @@GLOBAL.gtid_executed"), "\n", "")
	}
	return s.text(t, "SELECT @@GLOBAL.gtid_binlog_pos")
}

// rows gives a query's rows by the names of their columns.
func (s *session) rows(t *testing.T, query string, args ...any) func(yield func(map[string]string) bool) {
	t.Helper()
	return func(yield func(map[string]string) bool) {
		rows, err := s.conn.QueryContext(t.Context(), query, args...)
		if err != nil {
			t.Fatalf("%s: %s: %v", s.db, query, err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := make([]sql.NullString, len(columns))
			into := make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			row := make(map[string]string, len(columns))
			for i, column := range columns {
				row[column] = values[i].String
			}
			if !yield(row) {
				break
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("%s: %s: %v", s.db, query, err)
		}
	}
}

func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// fails runs a statement that the server must refuse.
func (s *session) fails(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.conn.ExecContext(t.Context(), s.db.named(statement)); err == nil {
		t.Fatalf("%s: %s: no error", s.db, statement)
	}
}

// decides ends an XA transaction whose session has just gone: the server may take a
// moment to let go of it.
func (d *database) decides(t *testing.T, statement string) {
	t.Helper()
	s := d.session(t)
	defer s.close()
	await(t, statement, func() bool {
		_, err := s.conn.ExecContext(t.Context(), statement)
		return err == nil
	})
}

// mustHaveLogged holds the log to having an event of this type behind a place.
func (s *session) mustHaveLogged(t *testing.T, file string, offset uint64, kind string) {
	t.Helper()
	for row := range s.rows(t, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d", file, offset)) {
		if row["Event_type"] == kind {
			return
		}
	}
	t.Errorf("%s has no event %s behind %s:%d, so this is no test of it", s.db, kind, file, offset)
}

// contains tells whether a set of GTIDs has all of another's.
func (s *session) contains(t *testing.T, set, other string) bool {
	t.Helper()
	if s.db.mysql() {
		return s.text(t, "SELECT GTID_SUBSET(?, ?)", other, set) == "1"
	}
	// The servers of these tests have one domain; what counts is the number behind the
	// last hyphen.
	number := func(gtid string) (n int) {
		if gtid == "" {
			return 0
		}
		if _, err := fmt.Sscan(gtid[strings.LastIndexByte(gtid, '-')+1:], &n); err != nil || strings.Contains(gtid, ",") {
			t.Fatalf("%q is no GTID: %v", gtid, err)
		}
		return n
	}
	return number(set) >= number(other)
}
