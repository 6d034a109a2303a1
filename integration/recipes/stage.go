package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"strings"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// stage is a server on which recipes are tried, one at a time.
type stage struct {
	*servers.Database
	command string // mcsqueal's path
}

// schema has the table that every recipe writes to.
const schema = "shop"

// set makes the table anew, with one row, and gives the place in the log from which on
// it is the recipe's.
func (s *stage) set(ctx context.Context) (place, error) {
	for _, statement := range []string{
		"CREATE DATABASE IF NOT EXISTS " + schema,
		"DROP TABLE IF EXISTS " + schema + ".users",
		"CREATE TABLE " + schema + ".users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(200) NOT NULL, email VARCHAR(200) NOT NULL)",
		"INSERT INTO " + schema + ".users VALUES (1, 'Ann', 'ann@example.com')",
	} {
		if _, err := s.DB().ExecContext(ctx, statement); err != nil {
			return place{}, fmt.Errorf("%s: %s: %w", s, statement, err)
		}
	}
	query := "SHOW BINARY LOG STATUS"
	if s.Kind() == servers.KindMariaDB {
		query = "SHOW MASTER STATUS"
	}
	rows, err := s.rows(ctx, query)
	if err != nil {
		return place{}, err
	}
	return place{file: rows[0]["File"], offset: rows[0]["Position"]}, nil
}

// place is one in the log.
type place struct{ file, offset string }

// keys are those that a dry run of mcsqueal finds behind a place, in order.
func (s *stage) keys(ctx context.Context, from place) (keys []string, err error) {
	cmd := exec.CommandContext(ctx, s.command, "replay", "--dry-run", "--source", s.URL(), "--from", "file:"+from.file+":"+from.offset)
	var said bytes.Buffer
	cmd.Stderr = &said
	printed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("a dry run: %w: %s", err, &said)
	}
	for l := range bytes.Lines(printed) {
		var line struct{ Key string }
		if err := json.Unmarshal(l, &line); err != nil {
			return nil, fmt.Errorf("a dry run's line %s: %w", l, err)
		}
		key, err := url.PathUnescape(line.Key)
		if err != nil {
			return nil, fmt.Errorf("a dry run's key %s: %w", line.Key, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// texts are the statements' texts that the server has logged behind a place.
func (s *stage) texts(ctx context.Context, from place) (texts []string, err error) {
	events, err := s.rows(ctx, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %s", from.file, from.offset))
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		switch e["Event_type"] {
		case "Rows_query": // shown as a comment
			texts = append(texts, strings.TrimPrefix(e["Info"], "# "))
		case "Annotate_rows":
			texts = append(texts, e["Info"])
		}
	}
	return texts, nil
}

// rows gives a query's rows by the names of their columns.
func (s *stage) rows(ctx context.Context, query string) (all []map[string]string, err error) {
	rows, err := s.DB().QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s, query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s, query, err)
	}
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s, query, err)
		}
		row := make(map[string]string, len(columns))
		for i, column := range columns {
			row[column] = values[i].String
		}
		all = append(all, row)
	}
	return all, rows.Err()
}
