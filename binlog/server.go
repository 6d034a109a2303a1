package binlog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// ServerConfig says how a server is reached. Its fields are read only.
type ServerConfig struct {
	// Flavor is what the server is expected to be; another is an error.
	// FlavorUnknown takes what comes.
	Flavor Flavor
	// Address is host:port, or a Unix socket's path.
	Address        string
	User, Password string
	// PasswordFrom says where the password is from, for errors; it may be empty.
	PasswordFrom string
	// TLS, if set, is used for every connection; a server without it is an error.
	TLS *tls.Config
	// Dial, if set, replaces net.Dialer's DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds connecting and each statement. 0: 10 s.
	Timeout time.Duration
}

func (c *ServerConfig) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 10 * time.Second
}

// Server is one SQL connection to the source. One goroutine may use it at a time.
type Server struct {
	cfg  ServerConfig
	conn *client.Conn
	// Flavor and Version are what the server says of itself.
	Flavor  Flavor
	Version string
}

// SetupError is a source that is not set up for being tailed, with what mends it.
type SetupError struct {
	Source string
	What   string
	Mend   string // the statement or setting; may be empty
	Err    error
}

func (e *SetupError) Error() string {
	s := e.Source + ": " + e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Mend != "" {
		s += "; mend it with: " + e.Mend
	}
	return s
}

func (e *SetupError) Unwrap() error { return e.Err }

// Connect opens a connection and logs in.
func Connect(ctx context.Context, cfg ServerConfig) (*Server, error) {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, cfg.timeout())
	defer cancel()
	// The library's handshake knows no context: the connection's deadline bounds it.
	var raw *greeting
	stop := func() bool { return true }
	conn, err := client.ConnectWithDialer(ctx, "", cfg.Address, cfg.User, cfg.Password, "",
		func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			raw = &greeting{Conn: c}
			stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
			return raw, nil
		},
		func(c *client.Conn) error {
			if cfg.TLS != nil {
				c.SetTLSConfig(cfg.TLS)
			}
			return nil
		})
	stop()
	if err != nil {
		if raw != nil {
			_ = raw.Close() // the handshake's error says it
		}
		if ctx.Err() != nil && !errors.As(err, new(*mysql.MyError)) {
			err = context.Cause(ctx)
		}
		err = cfg.explainLogin(rootCause(err))
		if raw != nil && caller.Err() == nil {
			if what, ok := raw.stranger(err); ok {
				err = fmt.Errorf("%s: %w", what, err)
			}
		}
		return nil, fmt.Errorf("connect to %s as %s: %w", cfg.Address, cfg.User, err)
	}
	_ = raw.SetDeadline(time.Time{})
	// MariaDB puts 5.5.5- in front, for old replicas' sake.
	s := &Server{cfg: cfg, conn: conn, Version: strings.TrimPrefix(conn.GetServerVersion(), "5.5.5-"), Flavor: MySQL}
	if strings.Contains(strings.ToLower(s.Version), "mariadb") {
		s.Flavor = MariaDB
	}
	if cfg.Flavor != FlavorUnknown && cfg.Flavor != s.Flavor {
		_ = s.Close()
		return nil, &SetupError{Source: cfg.Address,
			What: fmt.Sprintf("the source's URL says %s, the server is %s (%s)", cfg.Flavor, s.Flavor, s.Version),
			Mend: fmt.Sprintf("source URL %s://…", s.Flavor)}
	}
	return s, nil
}

// rootCause digs a server's or the network's error out of the library's traces.
func rootCause(err error) error {
	var my *mysql.MyError
	if errors.As(err, &my) {
		return my
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	return err
}

// quitWithin bounds how long the server may take to take note of a connection's end.
const quitWithin = time.Second

// Close ends the connection, and tells the server that this is meant: otherwise it counts,
// and may log, one that was aborted.
func (s *Server) Close() error {
	if s.conn.SetDeadline(time.Now().Add(quitWithin)) == nil {
		s.conn.ResetSequence()
		_ = s.conn.WritePacket([]byte{0, 0, 0, 0, mysql.COM_QUIT}) // it may be gone, or a dump by now
	}
	return s.conn.Close()
}

// Query runs one statement and gives its rows as text; NULL is "".
func (s *Server) Query(ctx context.Context, sql string) ([][]string, error) {
	return s.QueryWithin(ctx, s.cfg.timeout(), sql)
}

// QueryWithin is Query with a bound of its own on how long the statement may
// take. When the bound or the context ends it, the connection is of no more use.
func (s *Server) QueryWithin(ctx context.Context, d time.Duration, sql string) ([][]string, error) {
	rows, err := s.run(ctx, d, sql)
	if err != nil && ctx.Err() == nil {
		err = s.explain(ctx, err)
	}
	return rows, err
}

// run is QueryWithin, and explains nothing.
func (s *Server) run(ctx context.Context, d time.Duration, sql string) ([][]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.conn.SetDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := s.conn.Execute(sql)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%s: %s: %w", s.cfg.Address, sql, rootCause(err))
	}
	defer r.Close()
	if r.Resultset == nil {
		return nil, nil
	}
	rows := make([][]string, r.RowNumber())
	for i := range rows {
		rows[i] = make([]string, r.ColumnNumber())
		for j := range rows[i] {
			v, err := r.GetString(i, j)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: row %d, column %d: %w", s.cfg.Address, sql, i, j, err)
			}
			rows[i][j] = strings.Clone(v) // it aliases memory that the result uses again
		}
	}
	return rows, nil
}

// Variables gives the global variables of these names, in lower case; those that
// the server does not have are absent.
func (s *Server) Variables(ctx context.Context, names ...string) (map[string]string, error) {
	rows, err := s.Query(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('"+strings.Join(names, "','")+"')")
	if err != nil {
		return nil, err
	}
	vars := make(map[string]string, len(rows))
	for _, r := range rows {
		if len(r) >= 2 {
			vars[strings.ToLower(r[0])] = r[1]
		}
	}
	return vars, nil
}

// identity is what tells this server from others, as File.Server has it.
func (s *Server) identity(ctx context.Context) (string, error) {
	name := "server_uuid"
	if s.Flavor == MariaDB {
		name = "server_id"
	}
	v, err := s.Variables(ctx, name)
	return v[name], err
}

// Settings is what a source's variables say about its log.
type Settings struct {
	Address string
	Flavor  Flavor
	Version string
	// ID is the server's identity: server_uuid, or server_id on MariaDB.
	ID string
	// GTIDs: all transactions carry GTIDs, and the log can be asked for by them (always
	// so on MariaDB). On MySQL that is gtid_mode=ON: at ON_PERMISSIVE the server refuses
	// a dump by GTID (manual, "GTID auto-positioning"), and a place is gone by.
	GTIDs    bool
	GTIDMode string // MySQL's gtid_mode
	LogBin   bool
	Format   string // ROW, STATEMENT, MIXED
	RowImage string
	// StatementText: the text of statements is logged beside their rows, unless a
	// session turns it off. TextVariable is the setting's name here.
	StatementText bool
	TextVariable  string
	Metadata      string // binlog_row_metadata
	Checksum      string
	SyncBinlog    string
	// SQLMode and Charset are the server's defaults, for logs that do not say the session's.
	SQLMode, Charset  string
	LogReplicaUpdates bool
	// Replica: it replicates from another server.
	Replica bool
}

// Settings asks the server.
func (s *Server) Settings(ctx context.Context) (*Settings, error) {
	v, err := s.Variables(ctx, "server_uuid", "server_id", "gtid_mode", "log_bin", "binlog_format",
		"binlog_row_image", "binlog_row_metadata", "binlog_rows_query_log_events", "binlog_annotate_row_events",
		"binlog_checksum", "sync_binlog", "sql_mode", "character_set_client", "character_set_server",
		"log_replica_updates", "log_slave_updates")
	if err != nil {
		return nil, err
	}
	on := func(name string) bool { return v[name] == "ON" || v[name] == "1" }
	set := &Settings{
		Address: s.cfg.Address, GTIDMode: v["gtid_mode"],
		Flavor: s.Flavor, Version: s.Version, ID: v["server_uuid"],
		GTIDs:  v["gtid_mode"] == "ON",
		LogBin: on("log_bin"), Format: v["binlog_format"], RowImage: v["binlog_row_image"],
		TextVariable: "binlog_rows_query_log_events", Metadata: v["binlog_row_metadata"],
		Checksum: v["binlog_checksum"], SyncBinlog: v["sync_binlog"],
		SQLMode: v["sql_mode"], Charset: v["character_set_server"],
		LogReplicaUpdates: on("log_replica_updates") || on("log_slave_updates"),
	}
	if s.Flavor == MariaDB {
		set.ID = v["server_id"]
		set.GTIDs = true
		set.TextVariable = "binlog_annotate_row_events"
	}
	set.StatementText = on(set.TextVariable)
	set.Replica, err = s.replica(ctx)
	return set, err
}

// replica tells whether the server replicates from another.
func (s *Server) replica(ctx context.Context) (bool, error) {
	sql := "SHOW REPLICA STATUS"
	if s.Flavor == MariaDB {
		sql = "SHOW ALL SLAVES STATUS"
	}
	rows, err := s.run(ctx, s.cfg.timeout(), sql)
	var my *mysql.MyError
	if err == nil || !errors.As(err, &my) || my.Code != errSpecificDenied && my.Code != errParse {
		return len(rows) > 0, err
	}
	// It is asked only for a warning, which is not worth a privilege of its own.
	if s.Flavor != MariaDB {
		return false, nil
	}
	// What it has replicated, everybody may know.
	rows, err = s.Query(ctx, "SELECT @@GLOBAL.gtid_slave_pos")
	return len(rows) == 1 && rows[0][0] != "", err
}

// MendText gives the statement that turns the text of statements on.
func (s *Settings) MendText() string {
	if s.Flavor == MariaDB {
		return "SET GLOBAL binlog_annotate_row_events = ON (and binlog_annotate_row_events = ON in the server's configuration)"
	}
	return "SET PERSIST binlog_rows_query_log_events = ON"
}

// Check says what keeps the source from being tailed at all.
func (s *Settings) Check() error {
	if !s.LogBin {
		return &SetupError{Source: s.Address, What: "the binary log is off", Mend: mendLogBin}
	}
	return nil
}

// CheckText says whether the text of statements, in which tags are, is logged.
func (s *Settings) CheckText() error {
	if s.StatementText {
		return nil
	}
	return &SetupError{Source: s.Address,
		What: fmt.Sprintf("%s is OFF: the log holds rows without their statements' text, so no tag arrives", s.TextVariable),
		Mend: s.MendText() + "; sessions that are already connected keep their old setting"}
}

// End is where the log ends now.
func (s *Server) End(ctx context.Context) (Position, error) {
	p, row, err := s.endPlace(ctx)
	if err != nil {
		return Position{}, err
	}
	switch {
	case s.Flavor == MariaDB:
		at, err := s.Query(ctx, fmt.Sprintf("SELECT BINLOG_GTID_POS('%s', %d)", p.File.Name, p.Offset))
		if err != nil {
			return Position{}, err
		}
		if len(at) == 0 || len(at[0]) == 0 {
			return Position{}, fmt.Errorf("%s: BINLOG_GTID_POS('%s', %d) gave nothing", s.cfg.Address, p.File.Name, p.Offset)
		}
		if p.GTIDs, err = ParseGTIDSet(MariaDB, at[0][0]); err != nil {
			return Position{}, err
		}
	case len(row) >= 5:
		if p.GTIDs, err = ParseGTIDSet(MySQL, row[4]); err != nil {
			return Position{}, err
		}
	}
	return p, nil
}

// endPlace is End without a set. row is what the server said.
func (s *Server) endPlace(ctx context.Context) (p Position, row []string, err error) {
	sql := "SHOW BINARY LOG STATUS"
	if s.Flavor == MariaDB {
		sql = "SHOW MASTER STATUS"
	}
	rows, err := s.Query(ctx, sql)
	var my *mysql.MyError
	if s.Flavor == MySQL && errors.As(err, &my) && my.Code == errParse {
		rows, err = s.Query(ctx, "SHOW MASTER STATUS") // before MySQL 8.2
	}
	if err != nil {
		return Position{}, nil, err
	}
	if len(rows) == 0 || len(rows[0]) < 2 {
		return Position{}, nil, &SetupError{Source: s.cfg.Address, What: "the binary log is off", Mend: mendLogBin}
	}
	offset, err := strconv.ParseUint(rows[0][1], 10, 64)
	if err != nil {
		return Position{}, nil, fmt.Errorf("%s: %s: position %q: %w", s.cfg.Address, sql, rows[0][1], err)
	}
	return Position{File: File{Name: rows[0][0]}, Offset: offset}, rows[0], nil
}

// Distance is how many bytes of log lie between two places, or -1 where that
// cannot be told: from may name no file, or one that is gone.
func (s *Server) Distance(ctx context.Context, from, to Position) (int64, error) {
	if from.File.Name == "" {
		return -1, nil
	}
	logs, err := s.logFiles(ctx)
	if err != nil {
		return -1, err
	}
	distance, inside := int64(0), false
	for _, log := range logs {
		if log.name == from.File.Name {
			inside = true
			distance -= int64(from.Offset)
		}
		if log.name == to.File.Name {
			if !inside {
				return -1, nil
			}
			return distance + int64(to.Offset), nil
		}
		if inside {
			distance += log.size
		}
	}
	return -1, nil
}

// Logs lists the server's log files, oldest first.
func (s *Server) Logs(ctx context.Context) ([]string, error) {
	logs, err := s.logFiles(ctx)
	names := make([]string, len(logs))
	for i, log := range logs {
		names[i] = log.name
	}
	return names, err
}

// logFile is one of a server's.
type logFile struct {
	name string
	size int64
}

// logFiles lists them, oldest first; there is one at least.
func (s *Server) logFiles(ctx context.Context) ([]logFile, error) {
	rows, err := s.Query(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return nil, err
	}
	logs := make([]logFile, len(rows))
	for i, r := range rows {
		logs[i].name = r[0]
		if logs[i].size, err = strconv.ParseInt(r[1], 10, 64); err != nil {
			return nil, fmt.Errorf("%s: SHOW BINARY LOGS: size %q: %w", s.cfg.Address, r[1], err)
		}
	}
	if len(logs) == 0 {
		return nil, &SetupError{Source: s.cfg.Address, What: "the server has no binary log", Mend: mendLogBin}
	}
	return logs, nil
}
