package extract

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// Rule derives keys from the rows of tables.
type Rule struct {
	// Table is schema.table, either part a pattern of path.Match, in which * and ?
	// stand for slashes, too.
	Table string
	// Keys are templates: {column} stands for that column's value, {schema} and
	// {table} for the table's own names.
	Keys []string
}

// Columns are the columns that a template names, each once, in its order.
func Columns(template string) ([]string, error) {
	parts, err := parseTemplate(template)
	if err != nil {
		return nil, err
	}
	var columns []string
	for _, p := range parts {
		if p.column != "" && !strings.EqualFold(p.column, placeSchema) && !strings.EqualFold(p.column, placeTable) && !containsFold(columns, p.column) {
			columns = append(columns, p.column)
		}
	}
	return columns, nil
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

// Matches tells whether the rule is about a table.
func (r *Rule) Matches(schema, table string) bool {
	s, t, _ := strings.Cut(r.Table, ".")
	return match(s, schema) && match(t, table)
}

// MatchesSchema tells whether the rule is about tables of a schema.
func (r *Rule) MatchesSchema(schema string) bool {
	s, _, _ := strings.Cut(r.Table, ".")
	return match(s, schema)
}

// Exact tells whether the rule names one table, and which.
func (r *Rule) Exact() (schema, table string, ok bool) {
	schema, table, ok = strings.Cut(r.Table, ".")
	return schema, table, ok && !strings.ContainsAny(r.Table, `*?[\`)
}

// match tells whether all of a name is as a pattern says, which is path.Match's, but
// that * and ? stand for a slash, too: to a name that is a letter like any other.
func match(pattern, name string) bool {
	// The last asterisk stands for what is in front of from, or for more.
	starred, behind, from := false, "", ""
	for pattern != "" || name != "" {
		if strings.HasPrefix(pattern, "*") {
			pattern = pattern[1:]
			starred, behind, from = true, pattern, name
			continue
		}
		if pattern != "" && name != "" {
			c, size := utf8.DecodeRuneInString(name)
			if rest, ok := matchRune(pattern, c); ok {
				pattern, name = rest, name[size:]
				continue
			}
		}
		if !starred || from == "" {
			return false
		}
		_, size := utf8.DecodeRuneInString(from)
		from = from[size:]
		pattern, name = behind, from
	}
	return true
}

// matchRune tells whether a character is as a pattern begins, and gives what follows
// that. A pattern that is none matches nothing.
func matchRune(pattern string, c rune) (rest string, ok bool) {
	next := func() (r rune) {
		r, size := utf8.DecodeRuneInString(pattern)
		if r == '\\' && len(pattern) > 1 {
			pattern = pattern[1:]
			r, size = utf8.DecodeRuneInString(pattern)
		}
		pattern = pattern[size:]
		return r
	}
	switch pattern[0] {
	case '?':
		return pattern[1:], true
	case '[':
	default:
		r := next()
		return pattern, r == c
	}
	pattern = pattern[1:]
	not := strings.HasPrefix(pattern, "^")
	if not {
		pattern = pattern[1:]
	}
	in := false
	for {
		if pattern == "" {
			return "", false
		}
		if pattern[0] == ']' {
			return pattern[1:], in != not
		}
		first := next()
		last := first
		if strings.HasPrefix(pattern, "-") {
			pattern = pattern[1:]
			last = next()
		}
		in = in || first <= c && c <= last
	}
}

// The names in braces that are no columns.
const (
	placeSchema = "schema"
	placeTable  = "table"
)

// part is a piece of a template: text, or a column.
type part struct {
	text   string
	column string // "": text
}

func parseTemplate(template string) (parts []part, err error) {
	for rest := template; rest != ""; {
		text, hole, found := strings.Cut(rest, "{")
		if text != "" {
			parts = append(parts, part{text: text})
		}
		if !found {
			break
		}
		column, after, closed := strings.Cut(hole, "}")
		if !closed || column == "" {
			return nil, fmt.Errorf("key %q: a brace is open and does not name a column", template)
		}
		parts = append(parts, part{column: column})
		rest = after
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("key %q: it is empty", template)
	}
	return parts, nil
}

// checkRule says what is wrong with a rule.
func checkRule(r *Rule) error {
	schema, table, ok := strings.Cut(r.Table, ".")
	if !ok || schema == "" || table == "" {
		return fmt.Errorf("rule for %q: it is not schema.table", r.Table)
	}
	for _, p := range []string{schema, table} {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("rule for %q: %q is not a pattern", r.Table, p)
		}
	}
	if len(r.Keys) == 0 {
		return fmt.Errorf("rule for %q: it has no keys", r.Table)
	}
	for _, key := range r.Keys {
		if _, err := parseTemplate(key); err != nil {
			return fmt.Errorf("rule for %q: %w", r.Table, err)
		}
	}
	return nil
}

// UnservedError says that a rule's key cannot be had for certain, so that keys are
// missing.
type UnservedError struct {
	// Rule is the rule's Table, Key its template.
	Rule, Key     string
	Schema, Table string
	Column        string // may be empty
	What          string
	Mend          string // the statement, for what is written from then on; may be empty
	Err           error
	// Lacks: the table's columns are known, and Column is none of them.
	Lacks bool
	// Always: it is so for every row of the table as it is.
	Always bool
}

func (e *UnservedError) Error() string {
	s := fmt.Sprintf("rule %s, key %s, table %s.%s", e.Rule, e.Key, e.Schema, e.Table)
	if e.Column != "" {
		s += ", column " + e.Column
	}
	s += ": " + e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Mend != "" {
		s += "; mend it with: " + e.Mend
	}
	return s
}

func (e *UnservedError) Unwrap() error { return e.Err }
