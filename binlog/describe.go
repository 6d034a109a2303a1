package binlog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
)

// Columns asks information_schema for the columns of a table, in their order. There
// are none if there is no such table, or the user may not see it.
func (s *Server) Columns(ctx context.Context, schema, table string) ([]rowimage.Description, error) {
	if _, err := s.Query(ctx, "SET NAMES utf8mb4"); err != nil {
		return nil, err
	}
	rows, err := s.Query(ctx, fmt.Sprintf(`SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, CHARACTER_OCTET_LENGTH,
 NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, COLUMN_KEY, EXTRA, CONCAT('=', COLUMN_DEFAULT)
 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION`,
		literal(schema), literal(table)))
	if err != nil {
		return nil, err
	}
	columns := make([]rowimage.Description, 0, len(rows))
	for _, r := range rows {
		columns = append(columns, rowimage.Description{
			Name: r[0], DataType: r[1], ColumnType: r[2], Charset: r[3], OctetLength: r[4],
			Precision: r[5], Scale: r[6], Fraction: r[7], Key: r[8], Extra: r[9], Default: r[10],
		})
	}
	return columns, nil
}

// literal writes a name as a string of SQL that no sql_mode reads otherwise.
func literal(name string) string {
	return fmt.Sprintf("CONVERT(X'%x' USING utf8mb4)", name)
}

// QuoteName writes a name so that it can stand in a statement whatever it is.
func QuoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func tableName(schema, table string) string { return QuoteName(schema) + "." + QuoteName(table) }

// GrantSelect is the statement that lets the account of this connection see a table.
func (s *Server) GrantSelect(ctx context.Context, schema, table string) string {
	return fmt.Sprintf("GRANT SELECT ON %s TO %s", tableName(schema, table), s.account(ctx))
}

// GrantSelectIn is the like for every table of the schemas that a pattern matches, in
// which * and ? are wildcards; in a GRANT those are % and _.
func (s *Server) GrantSelectIn(ctx context.Context, schemas string) string {
	pattern := strings.NewReplacer("_", `\_`, "%", `\%`, "*", "%", "?", "_").Replace(schemas)
	return fmt.Sprintf("GRANT SELECT ON %s.* TO %s", QuoteName(pattern), s.account(ctx))
}

// UnsureError says that what a server tells of a table's columns may not be what they
// were where the log is being read, or that it tells nothing.
type UnsureError struct {
	What string
	Mend string // the statement; may be empty
	// Absent: the server shows no such table.
	Absent bool
}

func (e *UnsureError) Error() string { return e.What }

// Describe asks the server that is being read for the columns that a table had at a
// place in its log, the beginning of a transaction. The server knows them as they are
// now. They were the same then if nothing in the log between that place and its end
// has changed the table's definition: that is looked for on a dump of its own, and
// what was once looked through is not again. Every server writes such a statement into
// its log before others can see what it has done, or while it keeps them from looking.
// The time of the table's creation would not tell: MySQL 9.7 sets it anew for every
// ALTER TABLE, instant ones too, but not for RENAME TABLE, by which tools for changes
// without locks give a table's name to another.
//
// It fails with an *UnsureError where nothing is certain. Other errors are the
// connection's; handed through a Handler they make Run connect again. It belongs to
// the goroutine that is in Run.
func (l *Live) Describe(ctx context.Context, at Position, schema, table string) ([]rowimage.Description, error) {
	at.GTIDs = nil // the place itself is what counts
	at.Offset = max(at.Offset, firstOffset)
	if at.Offset > 1<<32-1 {
		return nil, &UnsureError{What: "its file is longer than 4 GiB, behind which the log cannot be asked for a place"}
	}
	columns, end, err := l.lookUp(ctx, schema, table)
	if err != nil {
		return nil, &lostError{err}
	}
	server := l.lookup
	if len(columns) == 0 {
		return nil, &UnsureError{
			Absent: true,
			What:   "information_schema has no such table: it has been removed since (then the names of its columns cannot be had any more), or the user may not see it",
			Mend:   server.GrantSelect(ctx, schema, table),
		}
	}
	whole, err := server.SeesWhole(ctx, schema, table)
	switch {
	case err != nil:
		l.endLookup()
		return nil, &lostError{err}
	case !whole:
		return nil, &UnsureError{
			What: "the user may see some of the table's columns, and not all",
			Mend: server.GrantSelect(ctx, schema, table),
		}
	}
	if err := l.redefined.reach(ctx, l, at, end); err != nil {
		return nil, &lostError{err}
	}
	if since := l.redefined.of(at, schema, table); since != "" {
		return nil, &UnsureError{What: "the table's definition has been changed since, at " + since}
	}
	return columns, nil
}

// lookUp asks for a table's columns, and then where the log ends. The connection is
// kept for the tables that come next, until the log has nothing to say for a while.
func (l *Live) lookUp(ctx context.Context, schema, table string) (columns []rowimage.Description, end Position, err error) {
	for kept := true; ; {
		if l.lookup == nil {
			kept = false
			if l.lookup, err = Connect(ctx, l.Server()); err != nil {
				l.lookup = nil
				return nil, end, err
			}
		}
		columns, err = l.lookup.Columns(ctx, schema, table)
		if err == nil {
			end, _, err = l.lookup.endPlace(ctx)
		}
		if err == nil {
			return columns, end, nil
		}
		l.endLookup()
		if !kept || ctx.Err() != nil {
			return nil, end, err
		}
	}
}

// endLookup closes lookUp's connection.
func (l *Live) endLookup() {
	if l.lookup != nil {
		_ = l.lookup.Close() // it has said what was asked
		l.lookup = nil
	}
}

// redefinitions are the statements between two places of a log that change tables'
// definitions.
type redefinitions struct {
	scanner
	from, to Position
	// found are in the order of the log. More than are kept: any table may be meant.
	found []redefinition
	start uint64 // of the transaction that is being read
}

type redefinition struct {
	at            Position
	schema, table string
}

// maxRedefined bounds what is kept of a log.
const maxRedefined = 20_000

// reach looks through the log from a place to its end, as far as it has not been.
func (d *redefinitions) reach(ctx context.Context, l *Live, at, end Position) error {
	known := d.to.File.Name != "" && d.to.File.Server == at.File.Server && before(d.from, at) && before(at, d.to)
	if !known {
		*d = redefinitions{from: at, to: at}
	}
	if known && d.to.File.Name == end.File.Name && d.to.Offset >= end.Offset {
		return nil
	}
	return l.walk(ctx, d.to, d)
}

// before tells whether a place is known to stand before another, or at it.
func before(a, b Position) bool {
	order, ok := a.File.Compare(b.File)
	return ok && (order < 0 || order == 0 && a.Offset <= b.Offset)
}

// of gives the place of the first statement behind a transaction that changes a table;
// "" if there is none. What stands in the same transaction does not count: it is the
// CREATE of a CREATE TABLE … SELECT, in front of the rows, which are of that shape.
func (d *redefinitions) of(at Position, schema, table string) string {
	if len(d.found) >= maxRedefined {
		return "some place of many"
	}
	for _, r := range d.found {
		if before(r.at, at) {
			continue
		}
		if r.schema == "" && r.table == "" || strings.EqualFold(r.schema, schema) && (r.table == "" || strings.EqualFold(r.table, table)) {
			return fmt.Sprintf("%s:%d", r.at.File.Name, r.at.Offset)
		}
	}
	return ""
}

func (d *redefinitions) File(f File) error {
	if f.Name != d.to.File.Name {
		d.to = Position{Offset: firstOffset}
	}
	d.to.File = f
	return nil
}

func (d *redefinitions) Begin(t *Transaction) error {
	d.start = t.Start
	return nil
}

func (d *redefinitions) Statement(s *Statement) error {
	s.Changes(func(c Change) {
		if !c.Definition || len(d.found) >= maxRedefined {
			return
		}
		d.found = append(d.found, redefinition{Position{File: d.to.File, Offset: d.start}, string(c.Schema), string(c.Table)})
	})
	return nil
}

func (d *redefinitions) End(t *Transaction) error {
	d.to.Offset = t.End
	return nil
}

// Tables lists the tables that the user may see, by schema and name, but for the
// server's own.
func (s *Server) Tables(ctx context.Context) ([][2]string, error) {
	if _, err := s.Query(ctx, "SET NAMES utf8mb4"); err != nil {
		return nil, err
	}
	rows, err := s.Query(ctx, `SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'
 AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')`)
	if err != nil {
		return nil, err
	}
	tables := make([][2]string, 0, len(rows))
	for _, r := range rows {
		tables = append(tables, [2]string{r[0], r[1]})
	}
	return tables, nil
}

// MaySelect tells whether the user may see a table's columns, or some, whether it
// exists or not.
func (s *Server) MaySelect(ctx context.Context, schema, table string) (bool, error) {
	return s.selects(ctx, "1", schema, table)
}

// SeesWhole tells whether the user may see all columns of a table: privileges may be
// for some, and information_schema has only those then.
func (s *Server) SeesWhole(ctx context.Context, schema, table string) (bool, error) {
	whole, err := s.selects(ctx, "*", schema, table)
	if errors.As(err, new(*mysql.MyError)) {
		return true, nil // it is another thing that is wrong
	}
	return whole, err
}

// selects tells whether no privilege is lacking to select something from a table.
func (s *Server) selects(ctx context.Context, what, schema, table string) (bool, error) {
	_, err := s.run(ctx, s.cfg.timeout(), fmt.Sprintf("SELECT %s FROM %s LIMIT 0", what, tableName(schema, table)))
	var my *mysql.MyError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &my) && (my.Code == errTableAccessDenied || my.Code == errDBAccessDenied || my.Code == errColumnAccessDenied):
		return false, nil
	case errors.As(err, &my) && (my.Code == errNoSuchTable || my.Code == errBadDatabase):
		return true, nil
	}
	return false, err
}

// Codes of errors that say that a column may not be seen, or that something is not there.
const (
	errColumnAccessDenied = 1143

	errNoSuchTable = 1146
	errBadDatabase = 1049
)
