package binlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// Prepared tells whether XA transactions are prepared on the source that are neither
// known already nor prepared in the log behind from: their keys would be missing
// when they are committed. A *GapError names them.
func (l *Live) Prepared(ctx context.Context, from Position, known []XID) error {
	server, err := Connect(ctx, l.Server())
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // it has said what was asked
	prepared, err := server.recoverXA(ctx)
	if err != nil {
		var my *mysql.MyError
		if errors.As(err, &my) && (my.Code == errXADenied || my.Code == errSpecificDenied) {
			l.cfg.Logger.Warn("it cannot be found out whether XA transactions are prepared; a commit of one whose keys are not known will be a gap",
				"mend", "GRANT XA_RECOVER_ADMIN ON *.* TO "+server.account(ctx), "error", err)
			return nil
		}
		return err
	}
	prepared = slices.DeleteFunc(prepared, func(x XID) bool { return slices.Contains(known, x) })
	if len(prepared) == 0 {
		return nil
	}
	// They may be met on the way.
	s := &preparing{}
	if err := l.walk(ctx, from.Clone(), s); err != nil {
		return err
	}
	prepared = slices.DeleteFunc(prepared, func(x XID) bool { return slices.Contains(s.met, x) })
	if len(prepared) == 0 {
		return nil
	}
	names := make([]string, len(prepared))
	for i, x := range prepared {
		names[i] = x.String()
	}
	return &GapError{Source: l.Server().Address, Position: from.Clone(),
		What: "XA transactions are prepared whose statements stand in front of that, so that their keys are not known: " +
			strings.Join(names, "; ") + "; decide on them (XA COMMIT or XA ROLLBACK) before the start"}
}

const errXADenied = 1401 // ER_XAER_RMERR: what XA RECOVER says without XA_RECOVER_ADMIN

// recoverXA lists the transactions that are prepared now.
func (s *Server) recoverXA(ctx context.Context) ([]XID, error) {
	rows, err := s.run(ctx, s.cfg.timeout(), "XA RECOVER") // whoever calls it knows what is missing
	if err != nil {
		return nil, err
	}
	xids := make([]XID, 0, len(rows))
	for _, r := range rows {
		x := XID{Named: true}
		var branch int
		if len(r) < 4 {
			return nil, fmt.Errorf("%s: XA RECOVER gave %d columns, expected 4", s.cfg.Address, len(r))
		}
		if _, err := fmt.Sscan(strings.Join(r[:3], " "), &x.Format, &x.Global, &branch); err != nil {
			return nil, fmt.Errorf("%s: XA RECOVER gave %q: %w", s.cfg.Address, r[:3], err)
		}
		if x.Data = r[3]; x.Global+branch != len(x.Data) {
			return nil, fmt.Errorf("%s: XA RECOVER gave %d bytes for lengths %d and %d", s.cfg.Address, len(x.Data), x.Global, branch)
		}
		xids = append(xids, x)
	}
	return xids, nil
}

// preparing is a Handler that takes note of what is prepared.
type preparing struct {
	scanner
	met []XID
}

func (p *preparing) File(File) error          { return nil }
func (p *preparing) Begin(*Transaction) error { return nil }

func (p *preparing) End(t *Transaction) error {
	if t.Outcome == Prepared {
		p.met = append(p.met, t.XID)
	}
	return nil
}
