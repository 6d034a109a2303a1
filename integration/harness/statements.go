package harness

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strings"
	"testing"
)

// statements are what a test says to a server: in one session, or in any.
type statements struct {
	db   *Database
	conn interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

// Exec runs a statement, or several; {name} in it becomes a key of the test's own. With
// arguments it is prepared by the server.
func (s statements) Exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	statement = s.db.Named(statement)
	if _, err := s.conn.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %s: %v", s.db, Clip(statement), err)
	}
}

// MustRefuse runs a statement that the server must refuse.
func (s statements) MustRefuse(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.conn.ExecContext(t.Context(), s.db.Named(statement)); err == nil {
		t.Fatalf("%s: %s: no error", s.db, statement)
	}
}

// Text asks for one value.
func (s statements) Text(t *testing.T, query string, args ...any) string {
	t.Helper()
	var value sql.NullString
	if err := s.conn.QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %s: %v", s.db, query, err)
	}
	return value.String
}

// Rows gives a query's rows by the names of their columns.
func (s statements) Rows(t *testing.T, query string, args ...any) iter.Seq[map[string]string] {
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

// Row gives a query's one row.
func (s statements) Row(t *testing.T, query string) (row map[string]string) {
	t.Helper()
	n := 0
	for row = range s.Rows(t, query) {
		n++
	}
	if n != 1 {
		t.Fatalf("%s: %s: %d rows, want one", s.db, query, n)
	}
	return row
}

// Tag is a comment that names keys.
func Tag(keys ...string) string { return "/* mc: " + strings.Join(keys, " ") + " */" }

// Commit writes a row in a statement that names the keys.
func (s statements) Commit(t *testing.T, keys ...string) {
	t.Helper()
	if err := s.Write(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
}

// Write is Commit for other goroutines than the test's.
func (s statements) Write(ctx context.Context, keys ...string) error {
	statement := s.db.Named("INSERT " + Tag(keys...) + " INTO settled VALUES ()")
	if _, err := s.conn.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: write %s: %w", s.db, some(keys), err)
	}
	return nil
}

// Settle waits until all that has been committed is delivered to the caches: it commits
// one more key. That holds where one connection gets all keys in order.
func (s statements) Settle(t *testing.T, caches ...*Cache) {
	t.Helper()
	key := s.db.Key("settled")
	for _, m := range caches {
		m.Fill(t, key)
	}
	s.Commit(t, key)
	for _, m := range caches {
		m.AwaitGone(t, key)
	}
}

// Place is where the binary log ends: a file and an offset.
func (s statements) Place(t *testing.T) (file string, offset uint64) {
	t.Helper()
	query := "SHOW BINARY LOG STATUS"
	if !s.db.IsMySQL() {
		query = "SHOW MASTER STATUS"
	}
	for row := range s.Rows(t, query) {
		file = row["File"]
		if _, err := fmt.Sscan(row["Position"], &offset); err != nil {
			t.Fatal(err)
		}
	}
	return file, offset
}

// Executed is the set of GTIDs that the log has, as the server writes it.
func (s statements) Executed(t *testing.T) string {
	t.Helper()
	if s.db.IsMySQL() {
		return strings.ReplaceAll(s.Text(t, "SELECT @@GLOBAL.gtid_executed"), "\n", "")
	}
	return s.Text(t, "SELECT @@GLOBAL.gtid_binlog_pos")
}

// Contains asks the server whether a set of GTIDs has all of another's.
func (s statements) Contains(t *testing.T, set, other string) bool {
	t.Helper()
	if s.db.IsMySQL() {
		return s.Text(t, "SELECT GTID_SUBSET(?, ?)", other, set) == "1"
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

// MustHaveLogged holds the log to having an event of this type behind a place.
func (s statements) MustHaveLogged(t *testing.T, file string, offset uint64, kind string) {
	t.Helper()
	for row := range s.Rows(t, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d", file, offset)) {
		if row["Event_type"] == kind {
			return
		}
	}
	t.Errorf("%s has no event %s behind %s:%d, so this is no test of it", s.db, kind, file, offset)
}
