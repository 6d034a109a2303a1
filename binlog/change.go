package binlog

import "bytes"

// Change is what a statement, which the log has as text, does to a table.
type Change struct {
	// Schema and Table name it. An empty Table is every table of the schema; both
	// empty: the statement could not be read, and may be about any table.
	Schema, Table []byte
	// Rows: it changes rows that no row images tell of.
	Rows bool
	// Definition: it makes, changes or removes the table, or gives the name to another.
	Definition bool
}

// Changes hands over what the statement does to tables, as far as that can be told
// from its beginning: definitions of tables, and writes in statement format. It is
// not a parser of SQL: what a procedure, a trigger or a view does is not seen.
func (s *Statement) Changes(each func(Change)) {
	if s.Rows {
		return
	}
	c := changes{words: words{b: s.Text}, schema: s.Schema, each: each}
	c.statement()
}

// changes reads one statement.
type changes struct {
	words
	schema []byte
	each   func(Change)
}

func (c *changes) statement() {
	if c.take("SET") {
		// MariaDB's SET STATEMENT variable = value FOR statement.
		if !c.take("STATEMENT") {
			return
		}
		for !c.end() && !c.take("FOR") {
			c.next()
		}
	}
	switch {
	case c.take("TRUNCATE"):
		c.take("TABLE")
		c.tables(Change{Rows: true})
	case c.take("DROP"):
		c.drop()
	case c.take("ALTER"):
		c.alter()
	case c.take("RENAME"):
		if c.take("TABLE") || c.take("TABLES") {
			c.rename()
		}
	case c.take("CREATE"):
		c.create()
	case c.take("INSERT"), c.take("REPLACE"):
		c.skip("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO")
		c.table(Change{Rows: true})
	case c.take("UPDATE"):
		c.skip("LOW_PRIORITY", "IGNORE")
		c.joined("SET")
	case c.take("DELETE"):
		c.skip("LOW_PRIORITY", "QUICK", "IGNORE")
		for !c.end() && !c.take("FROM") {
			c.next()
		}
		c.joined("WHERE")
	case c.take("LOAD"):
		for !c.end() {
			if c.take("INTO") && c.take("TABLE") {
				c.table(Change{Rows: true})
				return
			}
			c.next()
		}
	case !c.end() && !c.harmless():
		c.each(Change{Definition: true})
	}
}

// harmless tells whether the statement begins with a word of those that servers log
// and that change neither a table's definition nor its rows.
func (c *changes) harmless() bool {
	for _, verb := range []string{
		"ANALYZE", "BEGIN", "BINLOG", "CALL", "CHECK", "CHECKSUM", "COMMIT", "DO", "FLUSH", "GRANT", "INSTALL", "KILL", "LOCK",
		"OPTIMIZE", "PURGE", "RELEASE", "REPAIR", "RESET", "REVOKE", "ROLLBACK", "SAVEPOINT", "SELECT", "SHUTDOWN", "START",
		"UNINSTALL", "UNLOCK", "USE", "WITH", "XA",
	} {
		if c.take(verb) {
			return true
		}
	}
	return false
}

func (c *changes) skip(words ...string) {
	for again := true; again; {
		again = false
		for _, w := range words {
			again = c.take(w) || again
		}
	}
}

// name reads a table's name, schema and all.
func (c *changes) name() (schema, table []byte, ok bool) {
	table, ok = c.identifier()
	if ok && c.sign('.') {
		schema = table
		table, ok = c.identifier()
		return schema, table, ok && len(table) > 0
	}
	return c.schema, table, ok
}

// table hands over the one table whose name comes.
func (c *changes) table(change Change) {
	schema, table, ok := c.name()
	if !ok {
		c.each(Change{Rows: change.Rows, Definition: change.Definition})
		return
	}
	change.Schema, change.Table = schema, table
	c.each(change)
}

// tables hands over a list of tables.
func (c *changes) tables(change Change) {
	for {
		c.table(change)
		if !c.sign(',') {
			return
		}
	}
}

// joined hands over the tables of a write, up to a word.
func (c *changes) joined(until string) {
	c.table(Change{Rows: true})
	for !c.end() && !c.take(until) {
		if c.sign(',') || c.take("JOIN") {
			if !c.at('(') {
				c.table(Change{Rows: true})
			}
			continue
		}
		c.next()
	}
}

func (c *changes) drop() {
	if c.take("DATABASE") || c.take("SCHEMA") {
		c.ifExists()
		if name, ok := c.identifier(); ok {
			c.each(Change{Schema: name, Rows: true, Definition: true})
		}
		return
	}
	if c.take("TABLE") || c.take("TABLES") {
		c.ifExists()
		c.tables(Change{Rows: true, Definition: true})
	}
	// Temporary tables have no rows in the log, and views none at all.
}

func (c *changes) ifExists() {
	if c.take("IF") {
		c.take("NOT")
		c.take("EXISTS")
	}
}

func (c *changes) create() {
	replace := false
	if c.take("OR") {
		replace = c.take("REPLACE")
	}
	if c.take("TABLE") {
		c.ifExists()
		c.table(Change{Rows: replace, Definition: true})
	}
}

func (c *changes) rename() {
	c.ifExists()
	for {
		c.table(Change{Rows: true, Definition: true})
		c.ifExists()
		for c.take("WAIT") || c.take("NOWAIT") || !c.end() && c.digits() {
			continue
		}
		if !c.take("TO") {
			c.each(Change{Rows: true, Definition: true})
			return
		}
		c.table(Change{Rows: true, Definition: true})
		if !c.sign(',') {
			return
		}
	}
}

func (c *changes) alter() {
	c.skip("ONLINE", "OFFLINE", "IGNORE")
	if !c.take("TABLE") {
		return
	}
	c.ifExists()
	schema, table, ok := c.name()
	if !ok {
		c.each(Change{Rows: true, Definition: true})
		return
	}
	rows := false
	for !c.end() {
		switch {
		case c.take("DROP"), c.take("TRUNCATE"), c.take("DISCARD"), c.take("IMPORT"):
			rows = c.take("PARTITION") || c.take("TABLESPACE") || rows
		case c.take("EXCHANGE"):
			rows = true
		case c.take("WITH"):
			if c.take("TABLE") {
				c.table(Change{Rows: true, Definition: true})
			}
		case c.take("RENAME"):
			if c.take("COLUMN") || c.take("INDEX") || c.take("KEY") {
				continue
			}
			rows = true // the name has no rows any more
			if !c.take("TO") && !c.take("AS") {
				c.sign('=')
			}
			c.table(Change{Rows: true, Definition: true})
		default:
			c.next()
		}
	}
	c.each(Change{Schema: schema, Table: table, Rows: rows, Definition: true})
}

// words reads a statement word by word. Comments are passed over; the inside of
// those that servers execute is SQL.
type words struct{ b []byte }

// space passes over white space and comments.
func (w *words) space() {
	for {
		w.b = bytes.TrimLeft(w.b, " \t\r\n\v\f")
		switch {
		case bytes.HasPrefix(w.b, []byte("/*!")), bytes.HasPrefix(w.b, []byte("/*M!")):
			w.b = w.b[bytes.IndexByte(w.b, '!')+1:]
			for len(w.b) > 0 && w.b[0] >= '0' && w.b[0] <= '9' {
				w.b = w.b[1:]
			}
		case bytes.HasPrefix(w.b, []byte("*/")):
			w.b = w.b[2:]
		case bytes.HasPrefix(w.b, []byte("/*")):
			_, w.b, _ = bytes.Cut(w.b[2:], []byte("*/"))
		case len(w.b) > 0 && w.b[0] == '#', bytes.HasPrefix(w.b, []byte("-- ")), bytes.HasPrefix(w.b, []byte("--\n")), bytes.HasPrefix(w.b, []byte("--\t")):
			_, w.b, _ = bytes.Cut(w.b, []byte("\n"))
		default:
			return
		}
	}
}

func (w *words) end() bool {
	w.space()
	return len(w.b) == 0 || w.b[0] == ';'
}

// take passes over a word, if it comes.
func (w *words) take(upper string) bool {
	w.space()
	rest, ok := word(w.b, upper)
	if ok && len(rest) > 0 && (rest[0] == '$' || rest[0] >= 0x80) {
		return false
	}
	if ok {
		w.b = rest
	}
	return ok
}

func (w *words) at(c byte) bool {
	w.space()
	return len(w.b) > 0 && w.b[0] == c
}

// sign passes over a character, if it comes.
func (w *words) sign(c byte) bool {
	if w.at(c) {
		w.b = w.b[1:]
		return true
	}
	return false
}

// digits passes over a number, if it comes.
func (w *words) digits() bool {
	n := 0
	for n < len(w.b) && w.b[n] >= '0' && w.b[n] <= '9' {
		n++
	}
	w.b = w.b[n:]
	return n > 0
}

// identifier reads a name, quoted or not.
func (w *words) identifier() ([]byte, bool) {
	w.space()
	if len(w.b) == 0 {
		return nil, false
	}
	if q := w.b[0]; q == '`' || q == '"' {
		return w.quoted(q)
	}
	n := 0
	for n < len(w.b) && inName(w.b[n]) {
		n++
	}
	name := w.b[:n]
	w.b = w.b[n:]
	return name, n > 0
}

func inName(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// quoted reads a name in quotes, in which a doubled quote is one.
func (w *words) quoted(q byte) ([]byte, bool) {
	for i := 1; i < len(w.b); i++ {
		if w.b[i] != q {
			continue
		}
		if i+1 < len(w.b) && w.b[i+1] == q {
			i++
			continue
		}
		name := w.b[1:i]
		w.b = w.b[i+1:]
		if bytes.IndexByte(name, q) >= 0 {
			name = bytes.ReplaceAll(name, []byte{q, q}, []byte{q})
		}
		return name, true
	}
	w.b = nil
	return nil, false
}

// next passes over whatever comes: a word, a name, a literal or a sign.
func (w *words) next() {
	w.space()
	if len(w.b) == 0 {
		return
	}
	switch c := w.b[0]; {
	case c == '`':
		w.quoted(c)
	case c == '\'' || c == '"':
		i := 1
		for ; i < len(w.b) && w.b[i] != c; i++ {
			if w.b[i] == '\\' {
				i++
			}
		}
		w.b = w.b[min(i+1, len(w.b)):]
	case inName(c):
		n := 1
		for n < len(w.b) && inName(w.b[n]) {
			n++
		}
		w.b = w.b[n:]
	default:
		w.b = w.b[1:]
	}
}
