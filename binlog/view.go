package binlog

import (
	"context"
	"fmt"
)

// IsView tells whether a name is a view's that the user may see. The log has no rows of
// views, but of the tables that stand behind them.
func (s *Server) IsView(ctx context.Context, schema, table string) (bool, error) {
	rows, err := s.Query(ctx, fmt.Sprintf("SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND TABLE_TYPE LIKE '%%VIEW'",
		literal(schema), literal(table)))
	return len(rows) > 0, err
}
