package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"
)

// Config says how a database is to differ from the usual one. The zero value is the
// usual one.
type Config struct {
	// ServerID is the server_id. 0 takes the port, which no other instance on this
	// machine has.
	ServerID uint32
	// Args are options for the server, "--sync-binlog=1" for example. They come
	// after the usual ones and so override them.
	Args []string
}

// Database is a running MySQL or MariaDB with a row-based binary log that carries
// statement text and full metadata; MySQL with GTIDs. root needs no password, on
// the socket and on 127.0.0.1. There is an empty database "test".
//
// What a commit has written outlives Kill, since the system keeps it; it would not
// outlive the machine (sync_binlog=0, innodb_flush_log_at_trx_commit=2).
type Database struct {
	*Instance
	serverID uint32  // as configured
	ready    *sql.DB // asks over the socket whether the server answers
	db       *sql.DB // for everybody

	poolsMu sync.Mutex
	pools   []pool // those of In; guarded by poolsMu
}

// pool keeps so many connections while nobody uses them.
type pool struct {
	*sql.DB
	idle int
}

// StartMySQL starts a MySQL and returns when it answers. Where MySQL is not
// installed the error is a [*MissingError]. The caller closes it.
func StartMySQL(ctx context.Context, c Config) (*Database, error) {
	return StartDatabase(ctx, KindMySQL, c)
}

// StartMariaDB is StartMySQL for MariaDB.
func StartMariaDB(ctx context.Context, c Config) (*Database, error) {
	return StartDatabase(ctx, KindMariaDB, c)
}

// StartDatabase is StartMySQL or StartMariaDB, as the kind says.
func StartDatabase(ctx context.Context, k Kind, c Config) (_ *Database, err error) {
	from, err := template(ctx, k, io.Discard)
	if err != nil {
		return nil, err
	}
	base, err := Dir()
	if err != nil {
		return nil, err
	}
	dir, remove, err := newScratch(ctx)
	if err != nil {
		return nil, err
	}
	d := &Database{Instance: &Instance{kind: k, dir: dir, remove: remove}, serverID: c.ServerID}
	d.command = func() (*exec.Cmd, error) { return d.serverCommand(kinds[k].root.dir(base), c) }
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := copyTree(from, d.DataDir(), func(name string) bool {
		// auto.cnf holds the server's UUID, which every server makes for itself; the
		// rest are spare redo files.
		return name == "auto.cnf" || strings.HasPrefix(name, "#ib_redo") && strings.HasSuffix(name, "_tmp")
	}); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	// By the socket in our own folder: on the port somebody else might answer.
	if d.ready, err = open(driverConfig("unix", d.Socket(), "test")); err != nil {
		return nil, err
	}
	d.ready.SetMaxIdleConns(0) // no connection of ours stays behind
	d.answers = d.ready.PingContext
	d.hangUp = func() {
		if d.db != nil {
			d.db.SetMaxIdleConns(0)
			d.db.SetMaxIdleConns(idleConns)
		}
		d.poolsMu.Lock()
		defer d.poolsMu.Unlock()
		for _, p := range d.pools {
			p.SetMaxIdleConns(0)
			p.SetMaxIdleConns(p.idle)
		}
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	if d.db, err = open(driverConfig("tcp", d.Addr(), "test")); err != nil {
		return nil, err
	}
	return d, nil
}

// open makes a pool of connections.
func open(c *mysql.Config) (*sql.DB, error) {
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to %s: %w", c.Addr, err)
	}
	return sql.OpenDB(connector), nil
}

// driverConfig is a connection as root by the given way, in a database.
func driverConfig(network, addr, database string) *mysql.Config {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName, c.MultiStatements = "root", network, addr, database, true
	// The driver's remarks about broken connections: breaking them is what tests do.
	c.Logger = &mysql.NopLogger{}
	return c
}

// serverCommand is the server with all its options for the present port.
func (d *Database) serverCommand(root string, c Config) (*exec.Cmd, error) {
	args := append(programArgs(d.kind, root),
		"--datadir="+d.DataDir(),
		"--tmpdir="+filepath.Join(d.dir, "tmp"),
		"--socket="+d.Socket(),
		"--pid-file="+filepath.Join(d.dir, "pid"),
		"--port="+strconv.Itoa(d.port),
		"--bind-address=127.0.0.1",
		"--skip-name-resolve",
		"--server-id="+strconv.FormatUint(uint64(d.ServerID()), 10),
		"--log-bin=bin",
		"--relay-log=relay",
		"--binlog-format=ROW",
		"--binlog-row-metadata=FULL",
		// Small, and as quick as a loss of the process alone allows.
		"--max-connections=200",
		"--table-open-cache=400",
		"--innodb-buffer-pool-size=64M",
		"--innodb-flush-log-at-trx-commit=2",
		"--innodb-flush-method=nosync",
		"--sync-binlog=0",
	)
	if d.kind == KindMySQL {
		args = append(args,
			"--gtid-mode=ON", "--enforce-gtid-consistency=ON",
			"--binlog-rows-query-log-events=ON",
			"--table-definition-cache=400")
	} else {
		args = append(args,
			"--binlog-annotate-row-events=ON",
			"--log-slave-updates=ON", // MySQL's default
			"--performance-schema=OFF")
	}
	// Not bound to a context: the server outlives its start.
	return loaded(context.Background(), root, filepath.Join(root, kinds[d.kind].program), append(args, c.Args...)...)
}

// idleConns is how many connections DB keeps: database/sql's default.
const idleConns = 2

// DB is a pool of connections as root in the database "test"; a query may hold
// several statements. It lives through restarts. Close closes it.
func (d *Database) DB() *sql.DB { return d.db }

// In is a pool like DB in another database, which must be there, that keeps so many
// connections while nobody uses them. Who asks may close it sooner than Close does.
func (d *Database) In(database string, idle int) (*sql.DB, error) {
	db, err := open(driverConfig("tcp", d.Addr(), database))
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(idle)
	d.poolsMu.Lock()
	defer d.poolsMu.Unlock()
	d.pools = append(d.pools, pool{db, idle})
	return db, nil
}

// DSN is how github.com/go-sql-driver/mysql reaches what DB reaches.
func (d *Database) DSN() string { return driverConfig("tcp", d.Addr(), "test").FormatDSN() }

// URL is the database as mcsqueal's configuration names a source.
func (d *Database) URL() string {
	return d.kind.Name() + "://root@" + d.Addr()
}

// Socket is the path of the Unix socket.
func (d *Database) Socket() string { return filepath.Join(d.dir, "sock") }

// ServerID is the server_id.
func (d *Database) ServerID() uint32 {
	if d.serverID == 0 {
		return uint32(d.port)
	}
	return d.serverID
}

// DataDir is the data directory. It is there until Close.
func (d *Database) DataDir() string { return filepath.Join(d.dir, "data") }

// LogFiles are the paths of the binary log files, oldest first, as the log's own
// index has them. The server need not run.
func (d *Database) LogFiles() ([]string, error) {
	index, err := os.ReadFile(filepath.Join(d.DataDir(), "bin.index"))
	if err != nil {
		return nil, fmt.Errorf("list the log files of %s: %w", d, err)
	}
	var files []string
	for name := range strings.FieldsSeq(string(index)) {
		files = append(files, filepath.Join(d.DataDir(), name))
	}
	return files, nil
}

// Close closes DB and what In gave, kills the server and removes its scratch folder with all data.
// It may be called again, and then does nothing.
func (d *Database) Close() error {
	var failed []error
	d.poolsMu.Lock()
	defer d.poolsMu.Unlock()
	for _, p := range d.pools {
		failed = append(failed, p.Close())
	}
	for _, db := range []*sql.DB{d.ready, d.db} {
		if db != nil {
			failed = append(failed, db.Close())
		}
	}
	return errors.Join(append(failed, d.Instance.Close())...)
}
