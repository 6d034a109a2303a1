package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// performXA runs an XA transaction. Between its prepare and the decision it waits,
// mostly until the daemon has been started again, or for a while. When the server
// goes in between, the decision is made on another connection, as a transaction
// manager would.
func (w *writer) performXA(ctx context.Context, next *write, began *time.Time) (asked bool, err error) {
	exec := func(statement string) error {
		_, err := w.conn.ExecContext(ctx, statement)
		return err
	}
	if err := exec("XA START " + next.xid()); err != nil {
		return false, err
	}
	for _, statement := range next.statements {
		if err := exec(statement); err != nil {
			return false, err
		}
	}
	if err := exec("XA END " + next.xid()); err != nil {
		return false, err
	}
	if next.ending == xaOnePhase {
		*began = time.Now()
		return true, exec("XA COMMIT " + next.xid() + " ONE PHASE")
	}
	before := w.world.daemon.run()
	// If the answer is lost it may be prepared all the same, and must be decided: rolled
	// back, for nobody has promised that it can be committed.
	if err := exec("XA PREPARE " + next.xid()); err != nil && !lostConnection(err) {
		return false, err
	} else if err != nil {
		w.hangUp()
		next.ending = xaRollsBack
	}
	if err := w.hold(ctx, before); err != nil {
		return false, err
	}
	*began = time.Now()
	err = w.decide(ctx, next)
	if err == nil && w.world.daemon.run() != before {
		w.tally.count(func(t *tally) { t.astride++ })
	}
	return true, err
}

// hold waits while a transaction is prepared.
func (w *writer) hold(ctx context.Context, before int) error {
	d := time.Duration(0)
	untilRestart := false
	switch n := w.pace.IntN(10); {
	case n < 3:
	case n < 6:
		d = time.Duration(w.pace.Int64N(int64(xaHeld)))
	default:
		d, untilRestart = xaHeld, true
	}
	for over := time.Now().Add(d); time.Now().Before(over) && !(untilRestart && w.world.daemon.run() != before); {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// errNotPrepared is the server's word for a transaction that it does not have
// (XAER_NOTA): it was never prepared, or has been decided.
const errNotPrepared = 1397

// decide commits or rolls back what is prepared. Its error, if it is not the
// context's, means that what became of it has to be looked for.
func (w *writer) decide(ctx context.Context, next *write) error {
	verb := "XA COMMIT "
	if next.ending == xaRollsBack {
		verb = "XA ROLLBACK "
	}
	lost := false
	// A server may take a moment to let go of the connection that prepared it.
	for deadline := time.Now().Add(patience); ; {
		err := w.connect(ctx)
		if err != nil {
			return err
		}
		w.world.deciding.RLock()
		_, err = w.conn.ExecContext(ctx, verb+next.xid())
		w.world.deciding.RUnlock()
		var my *mysql.MySQLError
		switch {
		case err == nil && !lost:
			return nil
		case err == nil:
			return errLookForIt
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case lostConnection(err):
			w.hangUp()
			lost = true
		case errors.As(err, &my) && my.Number == errNotPrepared:
			// While the old connection still has it, it is not to be had by another.
			if held, recovering := w.prepared(ctx, next); recovering == nil && !held {
				return errLookForIt
			}
		default:
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s%s: not within %v: %w", verb, next.xid(), patience, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// traceless tells whether some XA transaction that a gap names is in none of the log
// files. A MariaDB that is killed within XA PREPARE can come back with such, of which
// nobody can know the keys: that is the gap it is said to be, until somebody decides on
// it.
func traceless(said string, logFiles func() ([]string, error)) (bool, error) {
	const what = "XA transactions are prepared whose statements stand in front of that"
	_, names, found := strings.Cut(said, what)
	if !found {
		return false, nil
	}
	files, err := logFiles()
	if err != nil {
		return false, err
	}
	for _, name := range regexp.MustCompile(`X'([0-9a-f]+)',X''`).FindAllStringSubmatch(names, -1) {
		xid, err := hex.DecodeString(name[1])
		if err != nil {
			return false, err
		}
		there := false
		for _, file := range files {
			log, err := os.ReadFile(file)
			if err != nil {
				return false, err
			}
			there = there || bytes.Contains(log, xid)
		}
		if !there {
			return true, nil
		}
	}
	return false, nil
}

// errLookForIt: only the rows tell what became of it.
var errLookForIt = errors.New("whether it was committed has to be looked for")

// prepared tells whether the server lists the transaction.
func (w *writer) prepared(ctx context.Context, next *write) (bool, error) {
	rows, err := w.conn.QueryContext(ctx, "XA RECOVER")
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var format, global, branch int
		var data string
		if err := rows.Scan(&format, &global, &branch, &data); err != nil {
			return false, err
		}
		if "'"+data+"'" == next.xid() {
			return true, nil
		}
	}
	return false, rows.Err()
}
