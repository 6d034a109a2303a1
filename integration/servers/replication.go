package servers

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ReplicateFrom makes the database a replica of source, by GTID, and returns when
// its connection to source is up; what source has written before is replicated,
// too. It may be called again with another source, and on a database that has been
// a source itself. Both must be of one kind.
func (d *Database) ReplicateFrom(ctx context.Context, source *Database) error {
	if d.kind != source.kind {
		return fmt.Errorf("replicate %s from %s: they are not of one kind", d, source)
	}
	// One statement at a time: after an error the rest would not be run.
	statements := []string{
		"STOP REPLICA",
		fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%d, SOURCE_USER='root', SOURCE_PASSWORD='',"+
			" SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=86400, GET_SOURCE_PUBLIC_KEY=1", source.port),
		"START REPLICA",
	}
	if d.kind == KindMariaDB {
		statements = []string{
			"STOP SLAVE",
			// What it wrote itself while it was a source, it has.
			"SET GLOBAL gtid_slave_pos=@@gtid_current_pos",
			fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='root', MASTER_PASSWORD='',"+
				" MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1", source.port),
			"START SLAVE",
		}
	}
	for _, statement := range statements {
		if _, err := d.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("replicate %s from %s: %s: %w", d, source, statement, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for problem := "none"; ; {
		status, err := d.replicaStatus(ctx)
		if err != nil {
			return fmt.Errorf("replicate %s from %s: %w; last error of replication: %s", d, source, err, problem)
		}
		if status.connected && status.applying {
			return nil
		}
		if status.stuck {
			return fmt.Errorf("replicate %s from %s: %s", d, source, status.problem)
		}
		problem = status.problem
		select {
		case <-ctx.Done():
			return fmt.Errorf("replicate %s from %s: %w; last error of replication: %s", d, source, ctx.Err(), problem)
		case <-tick.C:
		}
	}
}

type replicaStatus struct {
	connected, applying bool
	stuck               bool // what it has received cannot be applied, ever
	problem             string
}

// replicaStatus reads SHOW REPLICA STATUS, whose columns differ in number with
// every version and in name between MySQL and MariaDB.
func (d *Database) replicaStatus(ctx context.Context) (replicaStatus, error) {
	query, receiver, applier := "SHOW REPLICA STATUS", "Replica_IO_Running", "Replica_SQL_Running"
	if d.kind == KindMariaDB {
		query, receiver, applier = "SHOW SLAVE STATUS", "Slave_IO_Running", "Slave_SQL_Running"
	}
	rows, err := d.db.QueryContext(ctx, query)
	if err != nil {
		return replicaStatus{}, fmt.Errorf("%s: %w", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return replicaStatus{}, fmt.Errorf("%s: %w", query, err)
	}
	if !rows.Next() {
		return replicaStatus{}, errors.Join(fmt.Errorf("%s: it is no replica", query), rows.Err())
	}
	values := make([][]byte, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return replicaStatus{}, fmt.Errorf("%s: %w", query, err)
	}
	var status replicaStatus
	for i, column := range columns {
		switch column {
		case receiver:
			status.connected = string(values[i]) == "Yes"
		case applier:
			status.applying = string(values[i]) == "Yes"
		case "Last_IO_Error", "Last_SQL_Error":
			status.problem += string(values[i])
			status.stuck = status.stuck || column == "Last_SQL_Error" && len(values[i]) > 0
		}
	}
	return status, rows.Err()
}

// CatchUp waits until the database has executed all that source has in its binary
// log at the time of the call.
func (d *Database) CatchUp(ctx context.Context, source *Database) error {
	position := "SELECT @@GLOBAL.gtid_executed"
	wait := "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?)" // 0: it has
	if d.kind == KindMariaDB {
		position = "SELECT @@GLOBAL.gtid_binlog_pos"
		wait = "SELECT MASTER_GTID_WAIT(?, ?)"
	}
	var gtids string
	if err := source.db.QueryRowContext(ctx, position).Scan(&gtids); err != nil {
		return fmt.Errorf("ask %s what it has: %w", source, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not within %v", startTimeout))
	defer cancel()
	for {
		// A second at a time: who is stuck need not be waited for.
		answer := -1
		err := d.db.QueryRowContext(ctx, wait, gtids, 1).Scan(&answer)
		if err == nil && answer == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait until %s has %s: %w", d, gtids, errors.Join(err, context.Cause(ctx)))
		}
		status, err := d.replicaStatus(ctx)
		if err != nil || status.stuck || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("wait until %s has %s: last error of replication: %s", d, gtids, status.problem), err, context.Cause(ctx))
		}
	}
}
