package binlog

import (
	"context"
	"fmt"
	"strings"

	"github.com/mcsqueal/mcsqueal/binlog/rowimage"
)

// Columns asks information_schema for the columns of a table, in their order. There
// are none if there is no such table, or the user may not see it.
func (s *Server) Columns(ctx context.Context, schema, table string) ([]rowimage.Description, error) {
	if _, err := s.Query(ctx, "SET NAMES utf8mb4"); err != nil {
		return nil, err
	}
	rows, err := s.Query(ctx, fmt.Sprintf(`SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, CHARACTER_OCTET_LENGTH,
 NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, COLUMN_KEY, EXTRA
 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION`,
		literal(schema), literal(table)))
	if err != nil {
		return nil, err
	}
	columns := make([]rowimage.Description, 0, len(rows))
	for _, r := range rows {
		columns = append(columns, rowimage.Description{
			Name: r[0], DataType: r[1], ColumnType: r[2], Charset: r[3], OctetLength: r[4],
			Precision: r[5], Scale: r[6], Fraction: r[7], Key: r[8], Extra: r[9],
		})
	}
	return columns, nil
}

// literal writes a name as a string of SQL that no sql_mode reads otherwise.
func literal(name string) string {
	return fmt.Sprintf("CONVERT(X'%x' USING utf8mb4)", name)
}

// tableName writes a table's name for people, in quotes where SQL needs them.
func tableName(schema, table string) string {
	quote := func(s string) string {
		for _, c := range s {
			if !(c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				return "`" + strings.ReplaceAll(s, "`", "``") + "`"
			}
		}
		return s
	}
	return quote(schema) + "." + quote(table)
}
