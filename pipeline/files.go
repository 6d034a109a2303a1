package pipeline

import (
	"context"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Files makes log files a Source. They are read from the first to the last,
// whatever the position says: which transactions are wanted, Config.Wanted tells.
func Files(f *binlog.Files) Source { return files{f} }

type files struct{ files *binlog.Files }

func (s files) Run(ctx context.Context, _ *binlog.Position, h binlog.Handler) error {
	return s.files.Run(ctx, h)
}
