package harness

import (
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mcsqueal/mcsqueal/binlog"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// Database is a server with a schema that is the test's own: what the test writes goes
// there, and its keys begin with the schema's name.
type Database struct {
	*servers.Database
	statements
	Schema string
	Pool   *sql.DB // sessions in the schema, used again and again
	fresh  *sql.DB // sessions in the schema, each new
}

// idleConns are kept: tests write from many sessions.
const idleConns = 32

var schemas atomic.Int64

// NewDatabase makes a schema for a test.
func NewDatabase(t *testing.T, db *servers.Database) *Database {
	t.Helper()
	schema := fmt.Sprintf("shop%d", schemas.Add(1))
	if _, err := db.DB().ExecContext(t.Context(), "CREATE DATABASE "+schema); err != nil {
		t.Fatal(err)
	}
	d := within(t, db, schema)
	d.Exec(t, "CREATE TABLE settled (id BIGINT AUTO_INCREMENT PRIMARY KEY)")
	return d
}

func within(t *testing.T, db *servers.Database, schema string) *Database {
	t.Helper()
	open := func(idle int) *sql.DB {
		pool, err := db.In(schema, idle)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pool.Close() }) // the server may be gone
		return pool
	}
	d := &Database{Database: db, Schema: schema, Pool: open(idleConns), fresh: open(0)}
	d.statements = statements{db: d, conn: d.Pool}
	return d
}

// On is the same schema on another server, to which it has been replicated.
func (d *Database) On(t *testing.T, db *servers.Database) *Database {
	t.Helper()
	return within(t, db, d.Schema)
}

// SourceURL is the server as mcsqueal is told it.
func (d *Database) SourceURL() string { return strings.Replace(d.URL(), "root@", User+"@", 1) }

// SocketURL is the same through the Unix socket.
func (d *Database) SocketURL() string {
	return fmt.Sprintf("%s://%s@/?socket=%s", d.Kind().Name(), User, d.Socket())
}

// Through is SourceURL by another way to it.
func (d *Database) Through(w *Wire) string {
	return strings.Replace(d.SourceURL(), d.Addr(), w.Addr(), 1)
}

// IsMySQL tells whether it is a MySQL; else it is a MariaDB.
func (d *Database) IsMySQL() bool { return d.Kind() == servers.KindMySQL }

// Flavor is the form of its GTIDs.
func (d *Database) Flavor() binlog.Flavor {
	if d.IsMySQL() {
		return binlog.MySQL
	}
	return binlog.MariaDB
}

// Key gives a key of this test alone its full name.
func (d *Database) Key(name string) string { return d.Schema + ":" + name }

// Keys is Key for several.
func (d *Database) Keys(names ...string) []string {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = d.Key(name)
	}
	return keys
}

// Numbered are n keys.
func (d *Database) Numbered(name string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = d.Key(fmt.Sprintf("%s:%d", name, i))
	}
	return keys
}

// Named replaces {name} by the key of that name.
func (d *Database) Named(statement string) string {
	return strings.NewReplacer("{", d.Schema+":", "}", "").Replace(statement)
}

// Exec is a session's Exec, in a new one: what has been set for all sessions holds in it.
func (d *Database) Exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	s := d.Session(t)
	defer s.Close()
	s.Exec(t, statement, args...)
}

// GTIDs is the set of GTIDs that the log has.
func (d *Database) GTIDs(t *testing.T) *binlog.GTIDSet {
	t.Helper()
	set, err := binlog.ParseGTIDSet(d.Flavor(), d.Executed(t))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Rotate begins a new log file.
func (d *Database) Rotate(t *testing.T) {
	t.Helper()
	d.Exec(t, "FLUSH BINARY LOGS")
}

// Logs are the log's files, oldest first.
func (d *Database) Logs(t *testing.T) (names []string) {
	t.Helper()
	for row := range d.Rows(t, "SHOW BINARY LOGS") {
		names = append(names, row["Log_name"])
	}
	return names
}

// Purge removes all log files but the newest.
func (d *Database) Purge(t *testing.T) {
	t.Helper()
	logs := d.Logs(t)
	newest := logs[len(logs)-1]
	// A dump that has only just ended holds its file for a moment.
	Await(t, "the log is purged", func() bool {
		d.Exec(t, "PURGE BINARY LOGS TO '"+newest+"'")
		return d.Logs(t)[0] == newest
	})
}

// Reset throws the log away, with all its GTIDs.
func (d *Database) Reset(t *testing.T) {
	t.Helper()
	if d.IsMySQL() {
		d.Exec(t, "RESET BINARY LOGS AND GTIDS")
	} else {
		d.Exec(t, "RESET MASTER")
	}
}

// Decides ends an XA transaction whose session has just gone: the server may take a
// moment to let go of it.
func (d *Database) Decides(t *testing.T, statement string) {
	t.Helper()
	Await(t, statement, func() bool {
		_, err := d.Pool.ExecContext(t.Context(), statement)
		return err == nil
	})
}

// Session is one connection, in the test's schema.
type Session struct {
	statements
	Database *Database
	Conn     *sql.Conn
}

// Session opens a connection that is closed with the test.
func (d *Database) Session(t *testing.T) *Session {
	t.Helper()
	conn, err := d.fresh.Conn(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	s := &Session{statements: statements{db: d, conn: conn}, Database: d, Conn: conn}
	t.Cleanup(s.Close)
	return s
}

// Close ends the connection; it may have ended.
func (s *Session) Close() { _ = s.Conn.Close() }
