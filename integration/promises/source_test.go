package promises

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/mcsqueal/mcsqueal/binlog"
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

// source is a database with a schema that is the test's own: what it writes goes
// there, and its keys begin with the schema's name.
type source struct {
	*servers.Database
	schema string
	db     *sql.DB // in the schema
}

// idleConns are kept: tests write from many sessions, again and again.
const idleConns = 32

var schemas atomic.Int64

// newSource makes a schema for a test.
func newSource(t *testing.T, db *servers.Database) *source {
	t.Helper()
	s := &source{Database: db, schema: fmt.Sprintf("shop%d", schemas.Add(1))}
	if _, err := db.DB().ExecContext(t.Context(), "CREATE DATABASE "+s.schema); err != nil {
		t.Fatal(err)
	}
	s.open(t)
	s.exec(t, "CREATE TABLE written (id BIGINT AUTO_INCREMENT PRIMARY KEY)")
	return s
}

// open opens the pool of connections in the schema.
func (s *source) open(t *testing.T) {
	t.Helper()
	c, err := mysql.ParseDSN(s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	c.DBName, c.Logger = s.schema, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxIdleConns(idleConns)
	t.Cleanup(func() { _ = s.db.Close() }) // the server may be gone
}

// on is the same schema on another server, to which it has been replicated.
func (s *source) on(t *testing.T, db *servers.Database) *source {
	t.Helper()
	other := &source{Database: db, schema: s.schema}
	other.open(t)
	return other
}

// url is the server as mcsqueal is told it.
func (s *source) url() string { return strings.Replace(s.URL(), "root@", user+"@", 1) }

// through is url by another way to it.
func (s *source) through(w *wire) string { return strings.Replace(s.url(), s.Addr(), w.addr(), 1) }

func (s *source) mysql() bool { return s.Kind() == servers.KindMySQL }

func (s *source) flavor() binlog.Flavor {
	if s.mysql() {
		return binlog.MySQL
	}
	return binlog.MariaDB
}

// key gives a key of this test alone its full name.
func (s *source) key(name string) string { return s.schema + ":" + name }

// keys are n of them.
func (s *source) keys(name string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = s.key(fmt.Sprintf("%s:%d", name, i))
	}
	return keys
}

// tag is a comment that names keys.
func tag(keys ...string) string { return "/* mc: " + strings.Join(keys, " ") + " */" }

// exec runs a statement, or several.
func (s *source) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := s.db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %s: %v", s, clip(statement), err)
	}
}

// text asks for one value.
func (s *source) text(t *testing.T, query string, args ...any) string {
	t.Helper()
	var value sql.NullString
	if err := s.db.QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %s: %v", s, query, err)
	}
	return value.String
}

// names gives the first column of a query's rows.
func (s *source) names(t *testing.T, query string) (names []string) {
	t.Helper()
	for _, row := range s.rows(t, query) {
		names = append(names, row[0])
	}
	return names
}

// rows gives a query's rows as text.
func (s *source) rows(t *testing.T, query string) (all [][]string) {
	t.Helper()
	_, all = s.table(t, query)
	return all
}

// record gives a query's one row by the names of its columns.
func (s *source) record(t *testing.T, query string) map[string]string {
	t.Helper()
	columns, rows := s.table(t, query)
	if len(rows) != 1 {
		t.Fatalf("%s: %s: %d rows, want one", s, query, len(rows))
	}
	record := make(map[string]string, len(columns))
	for i, column := range columns {
		record[column] = rows[0][i]
	}
	return record
}

func (s *source) table(t *testing.T, query string) (columns []string, all [][]string) {
	t.Helper()
	rows, err := s.db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %s: %v", s, query, err)
	}
	defer rows.Close()
	if columns, err = rows.Columns(); err != nil {
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
		row := make([]string, len(columns))
		for i := range values {
			row[i] = values[i].String
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %s: %v", s, query, err)
	}
	return columns, all
}

// commit writes a row in a statement that names the keys.
func (s *source) commit(t *testing.T, keys ...string) {
	t.Helper()
	if err := s.write(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
}

// write is commit for other goroutines than the test's.
func (s *source) write(ctx context.Context, keys ...string) error {
	_, err := s.db.ExecContext(ctx, "INSERT "+tag(keys...)+" INTO written VALUES ()")
	if err != nil {
		return fmt.Errorf("%s: write %s: %w", s, some(keys), err)
	}
	return nil
}

// executed is the set of GTIDs that the log has.
func (s *source) executed(t *testing.T) *binlog.GTIDSet {
	t.Helper()
	query := "SELECT @@GLOBAL.gtid_executed"
	if !s.mysql() {
		query = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	return parseGTIDs(t, s.flavor(), s.text(t, query))
}

func parseGTIDs(t *testing.T, f binlog.Flavor, text string) *binlog.GTIDSet {
	t.Helper()
	set, err := binlog.ParseGTIDSet(f, strings.ReplaceAll(text, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// rotate begins a new log file.
func (s *source) rotate(t *testing.T) {
	t.Helper()
	s.exec(t, "FLUSH BINARY LOGS")
}

// logs are the log's files, oldest first.
func (s *source) logs(t *testing.T) []string { return s.names(t, "SHOW BINARY LOGS") }

// snapshot is the log file that MariaDB's engine is said to have come to.
func (s *source) snapshot(t *testing.T) string {
	t.Helper()
	return s.rows(t, "SHOW GLOBAL STATUS LIKE 'binlog_snapshot_file'")[0][1]
}

// asking counts mcsqueal's sessions that wait for the answer to a statement that
// begins so.
func (s *source) asking(t *testing.T, statement string) (n int) {
	t.Helper()
	for _, row := range s.rows(t, "SHOW PROCESSLIST") {
		if row[1] == user && strings.HasPrefix(row[7], statement) {
			n++
		}
	}
	return n
}

// purge removes all log files but the newest.
func (s *source) purge(t *testing.T) {
	t.Helper()
	logs := s.logs(t)
	newest := logs[len(logs)-1]
	// A dump that has only just ended holds its file for a moment.
	await(t, "the log is purged", func() bool {
		s.exec(t, "PURGE BINARY LOGS TO '"+newest+"'")
		return s.logs(t)[0] == newest
	})
}

// reset throws the log away, with all its GTIDs.
func (s *source) reset(t *testing.T) {
	t.Helper()
	if s.mysql() {
		s.exec(t, "RESET BINARY LOGS AND GTIDS")
	} else {
		s.exec(t, "RESET MASTER")
	}
}

// session is one connection.
type session struct {
	source *source
	conn   *sql.Conn
}

// session opens a connection that is closed, for good, with the test.
func (s *source) session(t *testing.T) *session {
	t.Helper()
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	c := &session{source: s, conn: conn}
	t.Cleanup(c.close)
	return c
}

// close ends the connection instead of giving it back: what was set in it is gone.
func (c *session) close() {
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn }) // so that it is not kept
	_ = c.conn.Close()
}

// exec runs a statement.
func (c *session) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := c.conn.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %s: %v", c.source, clip(statement), err)
	}
}

// commit writes a row in a statement that names the keys.
func (c *session) commit(t *testing.T, keys ...string) {
	t.Helper()
	c.exec(t, "INSERT "+tag(keys...)+" INTO written VALUES ()")
}

func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// some names a few of many keys.
func some(keys []string) string {
	if len(keys) > 8 {
		return fmt.Sprintf("%d keys, %s …", len(keys), strings.Join(keys[:8], " "))
	}
	return strings.Join(keys, " ")
}
