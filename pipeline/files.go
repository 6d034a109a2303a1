package pipeline

import (
	"context"
	"errors"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// Files makes log files a Source. They are read from the first to the last,
// whatever the position says: which transactions are wanted, Config.Wanted tells.
func Files(f *binlog.Files) Source { return files{f} }

type files struct{ files *binlog.Files }

func (s files) Run(ctx context.Context, _ *binlog.Position, h binlog.Handler) error {
	if err := s.files.Run(ctx, h); !errors.Is(err, binlog.ErrStop) {
		return err
	}
	return nil
}
