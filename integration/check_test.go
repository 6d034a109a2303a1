package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/authority"
	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/peer"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// finding is what `mcsqueal check --json` says of one thing.
type finding struct{ Level, About, Check, Says, Mend string }

// check runs `mcsqueal check --json` and gives what it has found.
func check(t *testing.T, s *harness.Settings, args ...string) []finding {
	t.Helper()
	p := harness.Mcsqueal(t, append([]string{"check", "--json", "--config", s.Path}, args...)...)
	var said struct {
		OK       bool
		Findings []finding
	}
	if err := json.Unmarshal([]byte(p.Stdout.String()), &said); err != nil {
		t.Fatalf("%v: %s%s", err, p.Stdout.String(), p.Stderr.String())
	}
	fails := 0
	for _, f := range said.Findings {
		if f.Level == "fail" {
			fails++
		}
	}
	if status := min(fails, 1); p.Status() != status || said.OK != (fails == 0) {
		t.Errorf("%d findings fail, and the exit status is %d and ok %v", fails, p.Status(), said.OK)
	}
	return said.Findings
}

// find gives the finding of a check, the worst if there are several: about what contains
// about.
func find(t *testing.T, found []finding, about, check string) finding {
	t.Helper()
	rank := map[string]int{"ok": 1, "warn": 2, "fail": 3}
	var worst finding
	for _, f := range found {
		if f.Check == check && strings.Contains(f.About, about) && rank[f.Level] > rank[worst.Level] {
			worst = f
		}
	}
	if worst.Level == "" {
		t.Fatalf("nothing is found of %s, %s: %+v", about, check, found)
	}
	return worst
}

// must holds a check to a level and to what it says and names as the mend.
func must(t *testing.T, found []finding, about, check, level, says, mend string) finding {
	t.Helper()
	f := find(t, found, about, check)
	if f.Level != level || !strings.Contains(f.Says, says) || !strings.Contains(f.Mend, mend) {
		t.Errorf("%s: %+v, want %s, %q in what it says, and %q in what mends it", check, f, level, says, mend)
	}
	if f.Level == "fail" && f.Mend == "" {
		t.Errorf("%s: %q names nothing that mends it", check, f.Says)
	}
	return f
}

// Everything is as it should be: then nothing is to be mended.
func TestCheckFindsNothingWhereAllIsSetUp(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		db.Exec(t, "SET GLOBAL sync_binlog = 1")
		if db.IsMySQL() {
			db.Exec(t, "GRANT XA_RECOVER_ADMIN ON *.* TO 'mcsqueal'@'%'")
		}
		grantSelect(t, db)
		db.Exec(t, "CREATE TABLE users (id INT PRIMARY KEY)")
		back := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "rules:", rule(db, "users", "user:{id}"), "clusters:",
			cluster("east", "servers", harness.NewCache(t).Addr(), servers.Memcache(t, servers.MemcachedConfig{Old: true}).Addr()),
			cluster("west", "routers", servers.Proxy(t, servers.ProxyConfig{Backends: []string{back.Addr()}}).Addr()))
		for _, f := range check(t, cfg) {
			if f.Level != "ok" {
				t.Errorf("%+v", f)
			}
		}
		if _, err := os.Stat(cfg.StateDir); !os.IsNotExist(err) {
			t.Errorf("the state_dir is there: %v", err)
		}
		// In words, without colours where it is no terminal.
		p := harness.Mcsqueal(t, "check", "--config", cfg.Path)
		if p.Status() != 0 || strings.Contains(p.Stdout.String(), "\x1b") {
			t.Errorf("exit status %d: %s", p.Status(), p.Stdout.String())
		}
		for _, part := range []string{"source " + db.Addr() + "\n", "  ok    binlog_format is ROW\n", "  ok    a delete is taken\n", ", 0 to look at, 0 to mend\n"} {
			if !strings.Contains(p.Stdout.String(), part) {
				t.Errorf("%q is not in\n%s", part, p.Stdout.String())
			}
		}
		// Beside a daemon, whose lock, port and connection are its own.
		daemon := cfg.Daemon(t)
		db.Session(t).Commit(t, db.Key("k"))
		harness.Await(t, "the daemon is called by its name", func() bool {
			return !db.IsMySQL() || len(findings(t, cfg, "server_id", "that of the daemon that is running")) > 0
		})
		for _, f := range check(t, cfg) {
			if f.Level != "ok" {
				t.Errorf("beside a daemon: %+v", f)
			}
		}
		must(t, check(t, cfg), "state_dir", "state_dir", "ok", fmt.Sprintf("the daemon that works in it is process %d", daemon.Pid()), "")
		daemon.Stop(t)
		for _, name := range []string{"east", "west"} {
			found := findings(t, cfg, "position", "cluster "+name)
			if len(found) != 1 || found[0].Level != "ok" {
				t.Errorf("of %s's position: %+v", name, found)
			}
		}
	})
}

// findings are those of a check that say something.
func findings(t *testing.T, s *harness.Settings, name, says string) (all []finding) {
	t.Helper()
	for _, f := range check(t, s) {
		if f.Check == name && strings.Contains(f.Says, says) {
			all = append(all, f)
		}
	}
	return all
}

// Each setting of a server that may be wrong is made so in turn; what is named as its
// mend is then done, word for word, and mends it.
func TestCheckNamesTheStatementThatMendsASetting(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		grantSelect(t, db)
		db.Exec(t, "CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(100))")
		m := harness.NewCache(t)
		tags := []string{"clusters:", cluster("east", "servers", m.Addr())}
		rules := append([]string{"rules:", rule(db, "users", "user:{email}")}, tags...)
		text := "binlog_rows_query_log_events"
		if !db.IsMySQL() {
			text = "binlog_annotate_row_events"
		}
		for _, c := range []struct {
			name, spoil        string
			config             []string
			check, level, says string
			mariadb, mysql     bool // on one of them only
		}{
			{name: "no statement text", spoil: text + " = OFF", config: tags, check: "statement_text", level: "fail", says: text + " is OFF"},
			{name: "statements", spoil: "binlog_format = STATEMENT", config: tags, check: "binlog_format", level: "warn", says: "STATEMENT"},
			{name: "statements, and rules", spoil: "binlog_format = STATEMENT", config: rules, check: "binlog_format", level: "fail", says: "without rows the rules have no keys"},
			{name: "some statements, and rules", spoil: "binlog_format = MIXED", config: rules, check: "binlog_format", level: "warn", says: "MIXED"},
			{name: "no names of columns", spoil: "binlog_row_metadata = MINIMAL", config: rules, check: "row_metadata", level: "warn", says: "MINIMAL"},
			{name: "images without columns", spoil: "binlog_row_image = MINIMAL", config: rules, check: "row_image", level: "warn", says: "MINIMAL"},
			{name: "images without a rule's column", spoil: "binlog_row_image = MINIMAL", config: rules, check: "rules", level: "fail", says: "column email: with binlog_row_image MINIMAL"},
			{name: "a log that is not synced", spoil: "sync_binlog = 0", config: tags, check: "sync_binlog", level: "warn", says: "sync_binlog is 0"},
			{name: "no patience", spoil: "net_write_timeout = 5", config: tags, check: "net_write_timeout", level: "warn", says: "5 s"},
			{name: "a short memory", spoil: "binlog_expire_logs_seconds = 3600", config: tags, check: "log_kept", level: "warn", says: "1h0m0s"},
			{name: "no server_id", spoil: "server_id = 0", config: tags, check: "server_id", level: "fail", says: "server_id is 0", mysql: true},
		} {
			if c.mysql && !db.IsMySQL() {
				continue
			}
			db.Exec(t, "SET GLOBAL "+c.spoil)
			cfg := harness.Configure(t, db.SourceURL(), c.config...)
			mend := must(t, check(t, cfg), "source", c.check, c.level, c.says, "SET ").Mend
			statement, _, _ := strings.Cut(mend, ";")
			statement, _, _ = strings.Cut(statement, " (and ")
			db.Exec(t, statement)
			if f := find(t, check(t, cfg), "source", c.check); f.Level != "ok" {
				t.Errorf("%s: after %s it is %+v", c.name, statement, f)
			}
		}
		if !db.IsMySQL() {
			return
		}
		// The steps by which GTIDs are turned on.
		for _, mode := range []string{"ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"} {
			db.Exec(t, "SET GLOBAL gtid_mode = "+mode)
		}
		cfg := harness.Configure(t, db.SourceURL(), tags...)
		found := check(t, cfg)
		must(t, found, "source", "visibility", "warn", "visibility is auto", "visibility: auto, and SET PERSIST enforce_gtid_consistency = ON")
		mend := must(t, found, "source", "gtid_mode", "warn", "gtid_mode is OFF", "").Mend
		statements, _, _ := strings.Cut(mend, ", each")
		for statement := range strings.SplitSeq(statements, "; ") {
			db.Exec(t, statement)
		}
		for _, name := range []string{"gtid_mode", "visibility"} {
			if f := find(t, check(t, cfg), "source", name); f.Level != "ok" {
				t.Errorf("%s: after the steps it is %+v", name, f)
			}
		}
	})
}

// What visibility asks for is held against the point at which semi-synchronous
// replication waits.
func TestCheckHoldsVisibilityAgainstSemiSync(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
		must(t, check(t, cfg, "--visibility", "off"), "source", "visibility", "warn", "visibility is off", "visibility: auto")
		if db.IsMySQL() {
			db.Exec(t, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
			db.Exec(t, "SET GLOBAL rpl_semi_sync_source_enabled = ON")
		} else {
			db.Exec(t, "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC")
			db.Exec(t, "SET GLOBAL rpl_semi_sync_master_enabled = ON")
		}
		must(t, check(t, cfg), "source", "visibility", "ok", "waits AFTER_SYNC, and is waited for", "")
		for _, v := range []string{"off", "delay:50ms"} {
			must(t, check(t, cfg, "--visibility", v), "source", "visibility", "fail", "visibility is "+v+", and semi-synchronous replication waits AFTER_SYNC", "visibility: auto")
		}
	})
}

// Whom the server does not let in, or not far enough, gets the statements that do.
func TestCheckNamesTheGrantsThatAreMissing(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		s := db.Session(t)
		name := db.Schema + "_check"
		url := strings.Replace(db.SourceURL(), harness.User+"@", name+"@", 1)
		cfg := harness.Configure(t, url, "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
		mend := must(t, check(t, cfg), "source", "connect", "fail", "refuses the login", "CREATE USER '"+name+"'@'127.0.0.1' IDENTIFIED BY '…'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '"+name+"'@'127.0.0.1'").Mend
		_, mend, _ = strings.Cut(mend, "no such account: ")
		create, grant, _ := strings.Cut(mend, "; ")
		s.Exec(t, strings.Replace(create, "…", harness.Password, 1))
		found := check(t, cfg)
		mend = must(t, found, "source", "privileges", "fail", "lacks", grant).Mend
		// No position is wrong.
		must(t, found, "state_dir", "start", "warn", "cannot be found out where east would begin: the account", mend)
		s.Exec(t, mend)
		must(t, check(t, cfg), "source", "privileges", "ok", "may read the log", "")
		if db.IsMySQL() {
			mend = must(t, check(t, cfg), "source", "xa", "warn", "cannot be found out", "GRANT XA_RECOVER_ADMIN ON *.* TO '"+name+"'@'127.0.0.1'").Mend
			s.Exec(t, mend)
			must(t, check(t, cfg), "source", "xa", "ok", "", "")
		}
		must(t, check(t, cfg), "source", "account", "ok", name, "")
		// More than it takes.
		s.Exec(t, fmt.Sprintf("GRANT SELECT, INSERT, DELETE ON %s.* TO '%s'@'127.0.0.1'", db.Schema, name))
		mend = must(t, check(t, cfg), "source", "account", "warn", "also has INSERT, DELETE on `"+db.Schema+"`.*", "REVOKE INSERT, DELETE ON `"+db.Schema+"`.* FROM '"+name+"'@'127.0.0.1'").Mend
		s.Exec(t, mend)
		must(t, check(t, cfg), "source", "account", "ok", name, "")
		s.Exec(t, fmt.Sprintf("GRANT ALL PRIVILEGES ON *.* TO '%s'@'127.0.0.1'", name))
		must(t, check(t, cfg), "source", "account", "warn", "may do everything", "REPLICATION SLAVE, REPLICATION CLIENT")
		// A wrong password, and no server at all.
		p := harness.Call{Args: []string{"check", "--config", cfg.Path}, Env: []string{"MCSQUEAL_PASSWORD=wrong"}}.Run(t)
		p.MustEnd(t, 1, "keep mcsqueal from its work")
		for _, part := range []string{"fail  the server refuses the login: is the password right? It came from MCSQUEAL_PASSWORD", "mend: the account's password in MCSQUEAL_PASSWORD or password_file"} {
			if !strings.Contains(p.Stdout.String(), part) {
				t.Errorf("%q is not in\n%s", part, p.Stdout.String())
			}
		}
		if strings.Contains(p.Stdout.String()+p.Stderr.String(), "wrong") {
			t.Errorf("the password is in\n%s%s", p.Stdout.String(), p.Stderr.String())
		}
		cfg = harness.Configure(t, strings.Replace(db.SourceURL(), db.Addr(), "127.0.0.1:1", 1), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
		must(t, check(t, cfg), "source", "connect", "fail", "connection refused", "start it, let this machine in, or mend source.url")
	})
}

// A server may refuse a connection for other reasons than the password, each with a mend of
// its own; where that is a statement, it is done, and mends it.
func TestCheckSaysWhyTheServerTakesNoConnection(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		root := db.DB()
		exec := func(statement string) {
			t.Helper()
			if _, err := root.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
		const account = "'mcsqueal'@'%'"
		for _, c := range []struct {
			name, spoil, check, says, mend string
			mysql                          bool   // on MySQL only
			instead                        string // what is done, where the mend is no statement
		}{
			{name: "expired", spoil: "ALTER USER " + account + " PASSWORD EXPIRE", check: "connect", says: "password has expired", mend: "ALTER USER 'mcsqueal'@'…' IDENTIFIED BY '…' PASSWORD EXPIRE NEVER", mysql: true},
			{name: "locked", spoil: "ALTER USER " + account + " ACCOUNT LOCK", check: "connect", says: "locked", mend: "ALTER USER 'mcsqueal'@'…' ACCOUNT UNLOCK"},
			{name: "not encrypted", spoil: "SET GLOBAL require_secure_transport = ON", check: "connect", says: "insecure transport", mend: "source.tls.mode: verify", instead: "SET GLOBAL require_secure_transport = OFF", mysql: true},
			{name: "one connection", spoil: "ALTER USER " + account + " WITH MAX_USER_CONNECTIONS 1", check: "privileges", says: "max_user_connections", mend: "ALTER USER 'mcsqueal'@'…' WITH MAX_USER_CONNECTIONS 20"},
			{name: "offline", spoil: "SET GLOBAL offline_mode = ON", check: "connect", says: "offline mode", mend: "SET GLOBAL offline_mode = OFF", mysql: true},
		} {
			if c.mysql && !db.IsMySQL() {
				continue
			}
			exec(c.spoil)
			mend := must(t, check(t, cfg), "source", c.check, "fail", c.says, c.mend).Mend
			mend, _, _ = strings.Cut(mend, ":")
			mend, _, _ = strings.Cut(mend, ", and ")
			mend = strings.Replace(strings.Replace(mend, "@'…'", "@'%'", 1), "'…'", "'"+harness.Password+"'", 1)
			if c.instead != "" {
				mend = c.instead
			}
			exec(mend)
			must(t, check(t, cfg), "source", "privileges", "ok", "may read the log", "")
		}
	})
}

func TestCheckSaysWhatIsWrongWithTheLogAndThePositionsInIt(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t)
		s := db.Session(t)
		s.Settle(t, m)
		daemon.Stop(t)
		must(t, check(t, cfg), "state_dir", "position", "ok", "cluster east goes on from", "")
		s.Commit(t, db.Key("purged"))
		s.Exec(t, "FLUSH BINARY LOGS")
		s.Commit(t, db.Key("kept"))
		s.Exec(t, "FLUSH BINARY LOGS")
		file, _ := s.Place(t)
		// A dump that has only just ended holds its file for a moment.
		harness.Await(t, "the log is purged", func() bool {
			s.Exec(t, "PURGE BINARY LOGS TO '"+file+"'")
			for row := range s.Rows(t, "SHOW BINARY LOGS") {
				if row["Log_name"] != file {
					return false
				}
			}
			return true
		})
		must(t, check(t, cfg), "state_dir", "position", "fail", "cluster east: gap", "mcsqueal checkpoint set --cluster east --to now")
		cfg.Write(t, db.SourceURL(), "clusters:", cluster("west", "servers", m.Addr()))
		must(t, check(t, cfg), "state_dir", "checkpoint", "fail", "a cluster east that the configuration lacks", "mcsqueal checkpoint drop --cluster east")
		harness.Mcsqueal(t, "checkpoint", "drop", "--cluster", "east", "--config", cfg.Path).MustEnd(t, 0)
		must(t, check(t, cfg), "state_dir", "checkpoint", "ok", "there is no checkpoint yet", "")
		must(t, check(t, cfg), "state_dir", "start", "ok", "west would begin at now", "")
		must(t, check(t, cfg, "--start", "file:bin.000099:4"), "state_dir", "start", "fail", "west would begin", "start: now, oldest")
		// The name of the dump connection is the server's own, or another daemon's.
		must(t, check(t, cfg, "--server-id", fmt.Sprint(db.ServerID())), "source", "server_id", "fail", "is the server's own", "source.server_id")
		must(t, check(t, cfg, "--server-id", "4711"), "source", "server_id", "ok", "4711 is nobody else's", "")
		other := harness.Configure(t, db.SourceURL(), "clusters:", cluster("west", "servers", m.Addr()))
		daemon = other.Daemon(t, "--server-id", "4711")
		s.Settle(t, m)
		if db.IsMySQL() {
			must(t, check(t, cfg, "--server-id", "4711"), "source", "server_id", "fail", "is another's already", "source.server_id")
		} else {
			must(t, check(t, cfg, "--server-id", "4711"), "source", "server_id", "warn", "nobody else may be called 4711", "SHOW SLAVE HOSTS")
			must(t, check(t, cfg), "source", "server_id", "ok", "is derived from", "")
		}
		daemon.Stop(t)
		// The clocks of the machine and of the server.
		db.Exec(t, "SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() - 100'")
		must(t, check(t, cfg), "source", "clock", "warn", "behind this machine's", "NTP")
	})
	t.Run("no log", func(t *testing.T) {
		db := harness.Own(t, servers.KindMySQL, servers.Config{Args: []string{"--skip-log-bin"}})
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
		must(t, check(t, cfg), "source", "log_bin", "fail", "the binary log is off", "log_bin = bin and a server_id in the server's configuration")
	})
	for kind, arg := range map[servers.Kind]string{servers.KindMySQL: "--log-replica-updates=OFF", servers.KindMariaDB: "--log-slave-updates=OFF"} {
		t.Run("a replica that logs nothing, "+kind.Name(), func(t *testing.T) {
			t.Parallel()
			first := harness.Own(t, kind, servers.Config{})
			replica := servers.Start(t, kind, servers.Config{Args: []string{arg}})
			if err := replica.ReplicateFrom(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			harness.Await(t, "the user is replicated", func() bool {
				var n int
				return replica.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM mysql.user WHERE user = 'mcsqueal'").Scan(&n) == nil && n == 1
			})
			cfg := harness.Configure(t, strings.Replace(first.SourceURL(), first.Addr(), replica.Addr(), 1), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
			must(t, check(t, cfg), "source", "replica", "fail", "does not log what it replicates", "log_replica_updates = ON")
			// Of several, one that is away is failed over to later.
			cfg = harness.Configure(t, first.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
			away := strings.Replace(first.SourceURL(), first.Addr(), "127.0.0.1:1", 1)
			found := check(t, cfg, "--source", first.SourceURL(), "--source", away)
			must(t, found, "127.0.0.1:1", "connect", "warn", "connection refused", "")
			must(t, found, first.Addr(), "privileges", "ok", "", "")
		})
	}
}

func TestCheckSaysHowTheSourceIsReached(t *testing.T) {
	t.Parallel()
	db := harness.Own(t, servers.KindMySQL, servers.Config{})
	ca := filepath.Join(db.DataDir(), "ca.pem") // made by the server at its start
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
	must(t, check(t, cfg), "source", "tls", "ok", "not encrypted, and does not leave this machine", "")
	must(t, check(t, cfg, "--tls-mode", "skip-verify"), "source", "tls", "warn", "the server may be anybody", "source.tls.mode: verify")
	must(t, check(t, cfg, "--tls-mode", "verify-ca", "--tls-ca", ca), "source", "tls", "ok", "whatever its name", "")
	must(t, check(t, cfg, "--tls-mode", "verify"), "source", "connect", "fail", "certificate", "tls")
	// One that is out of date.
	a := authority.New(t)
	right, key := a.Issue(t, "server", authority.Server(time.Now().Add(time.Hour)))
	db = harness.Own(t, servers.KindMySQL, servers.Config{Args: []string{"--ssl-ca=" + a.Path, "--ssl-cert=" + right, "--ssl-key=" + key}})
	cfg = harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
	must(t, check(t, cfg, "--tls-ca", a.Path), "source", "tls", "ok", "vouches for the server's name", "")
	expired, key := a.Issue(t, "expired", authority.Server(time.Now().Add(-time.Minute)))
	db = harness.Own(t, servers.KindMySQL, servers.Config{Args: []string{"--ssl-ca=" + a.Path, "--ssl-cert=" + expired, "--ssl-key=" + key}})
	cfg = harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
	must(t, check(t, cfg, "--tls-ca", a.Path), "source", "connect", "fail", "certificate has expired", "a certificate that is valid now")
	p := harness.Mcsqueal(t, "run", "--config", cfg.Path, "--tls-ca", a.Path)
	p.MustEnd(t, 1, "certificate has expired")
	if len(p.Said("connect to "+db.Addr())) != 1 {
		t.Errorf("it does not say where: %s", p.Stderr.String())
	}
}

// Each thing that may be wrong with a router or a server is so in turn.
func TestCheckSaysWhatIsWrongWithRoutersAndServers(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t)
	one, two := harness.NewCache(t), harness.NewCache(t)
	old := servers.Memcache(t, servers.MemcachedConfig{Old: true})
	router := servers.Proxy(t, servers.ProxyConfig{Backends: []string{one.Addr()}})
	astray := servers.Proxy(t, servers.ProxyConfig{Backends: []string{"127.0.0.1:1"}})
	a := authority.New(t)
	secure := newSecureCache(t, a, "secure", time.Now().Add(time.Hour))
	expired := newSecureCache(t, a, "expired", time.Now().Add(-time.Minute))
	spooling, refusing := newMcrouter(t, "0"), newMcrouter(t, "1")
	const away = "127.0.0.1:1"
	with := func(line, more string) string { return strings.Replace(line, "name:", more+", name:", 1) }
	for _, c := range []struct {
		name, cluster, about, check, level, says, mend string
	}{
		{"a server", cluster("c", "servers", one.Addr()), "server", "version", "ok", "server, version 1.6.45, spoken to by the meta protocol", ""},
		{"an old one", cluster("c", "servers", old.Addr()), "server", "version", "ok", "server, version 1.6.18, spoken to by the meta protocol", ""},
		{"text, since that is configured", with(cluster("c", "servers", one.Addr()), "protocol: text"), "server", "version", "ok", "by the text protocol", ""},
		{"its delete, in text", with(cluster("c", "servers", one.Addr()), "protocol: text"), "server", "delete", "ok", "", ""},
		{"a router", cluster("c", "routers", router.Addr()), "router", "version", "ok", "router, memcached's proxy, version 1.6.45", ""},
		{"its delete", cluster("c", "routers", router.Addr()), "router", "delete", "ok", "", ""},
		{"a router without caches", cluster("c", "routers", astray.Addr()), "router", "delete", "fail", "SERVER_ERROR", "the caches behind it"},
		{"a server that is away", cluster("c", "servers", one.Addr(), away), away, "connect", "fail", "connection refused", "start it"},
		{"a router that is away", cluster("c", "routers", router.Addr(), away), away, "connect", "warn", "connection refused", "start it"},
		{"all routers away", cluster("c", "routers", away), away, "connect", "fail", "connection refused", "start it"},
		{"something else", cluster("c", "servers", db.Addr()), db.Addr(), "connect", "fail", "version: expected", "the address of a cache or router"},
		{"servers for routers", cluster("c", "routers", one.Addr(), two.Addr()), "cluster c", "routers", "fail", "plain servers: " + one.Addr() + ", " + two.Addr(), "servers: [" + one.Addr() + ", " + two.Addr() + "]"},
		{"one server for a router", cluster("c", "routers", one.Addr()), "cluster c", "servers", "ok", "", ""},
		{"routers for servers", cluster("c", "servers", router.Addr()), "cluster c", "servers", "warn", "routers", "routers: [" + router.Addr() + "]"},
		{"stale values", with(cluster("c", "servers", one.Addr()), `action: "stale:30s"`), "server", "action", "ok", "stale:30s does what it should", ""},
		{"hold-offs", with(cluster("c", "servers", one.Addr()), `action: "holdoff:2s"`), "server", "action", "fail", "the server does not know hold-offs", "action: delete"},
		{"hold-offs, old", with(cluster("c", "servers", old.Addr()), `action: "holdoff:2s"`), "server", "action", "fail", "the server does not know hold-offs", "action: delete"},
		{"stale values by mcrouter", with(cluster("c", "routers", refusing), `action: "stale:30s"`), "router", "action", "fail", "stale needs the meta protocol, and this speaks text alone", "action: delete"},
		{"mcrouter", cluster("c", "routers", refusing), "router", "version", "ok", "router, mcrouter, version mcrouter 1.0, spoken to by the text protocol", ""},
		{"mcrouter's delete", with(cluster("c", "routers", refusing), "prefix: /east/*/"), "router", "delete", "ok", "", ""},
		{"mcrouter that refuses", cluster("c", "routers", refusing), "router", "asynclog", "ok", "does not spool", ""},
		{"mcrouter that spools", cluster("c", "routers", spooling), "router", "asynclog", "fail", "mcrouter spools deletes", "--asynclog-disable"},
		{"meta for mcrouter", with(cluster("c", "routers", refusing), "protocol: meta"), "router", "connect", "fail", "does not speak the meta protocol", "protocol: auto"},
		{"TLS", with(cluster("c", "servers", secure.SecureAddr()), "tls: {ca: "+a.Path+"}"), "server", "tls", "ok", "an authority vouches for its name", ""},
		{"TLS with anybody", with(cluster("c", "servers", secure.SecureAddr()), "tls: {mode: skip-verify}"), "server", "tls", "warn", "it may be anybody", "tls.mode: verify"},
		{"TLS by strangers", with(cluster("c", "servers", secure.SecureAddr()), "tls: {mode: verify-ca}"), "server", "connect", "fail", "unknown authority", "tls.ca"},
		{"TLS under another name", with(cluster("c", "servers", secure.SecureAddr()), "tls: {ca: "+a.Path+", server_name: x.example}"), "server", "connect", "fail", "x.example", "tls.server_name"},
		{"TLS out of date", with(cluster("c", "servers", expired.SecureAddr()), "tls: {ca: "+a.Path+"}"), "server", "connect", "fail", "has expired", "valid now"},
		{"TLS to who does not speak it", with(cluster("c", "servers", one.Addr()), "tls: {mode: verify}"), "server", "connect", "fail", "does not look like a TLS handshake", "tls.mode: off"},
		{"no TLS to who speaks it", cluster("c", "servers", secure.SecureAddr()), "server", "connect", "fail", "version", "tls.mode: verify"},
		{"a file that is not there", with(cluster("c", "servers", secure.SecureAddr()), "tls: {ca: /nonexistent}"), "cluster c", "tls", "fail", "/nonexistent", "files that"},
		{"a flush through a router", "  - {name: c, routers: [" + router.Addr() + "], flush: [" + router.Addr() + "]}\non_gap: flush", "cluster c", "flush", "fail", "passes no flush_all on", "the cache servers behind it"},
		{"a flush of servers", "  - {name: c, routers: [" + router.Addr() + "], flush: [" + one.Addr() + "]}\non_gap: flush", "cluster c", "flush", "ok", "can be flushed", ""},
		{"a flush of who is away", "  - {name: c, routers: [" + router.Addr() + "], flush: [" + away + "]}\non_gap: flush", "cluster c", "flush", "warn", "cannot be reached", "start it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := harness.Configure(t, db.SourceURL(), "clusters:", c.cluster)
			found := check(t, cfg)
			must(t, found, c.about, c.check, c.level, c.says, c.mend)
		})
	}
}

// newMcrouter is what mcrouter answers, as its source has it (ServiceInfo-inl.h,
// options.cpp): it speaks text alone, and says of its options what it was started with. It
// is a fake, for a mcrouter is hard to come by.
func newMcrouter(t *testing.T, asynclogDisable string) (address string) {
	t.Helper()
	return peer.Listen(t, func(conn net.Conn) {
		for commands := bufio.NewScanner(conn); commands.Scan(); {
			words := strings.Fields(commands.Text())
			answer := "ERROR\r\n" // and it hangs up, as mcrouter's parser does
			switch {
			case len(words) == 0:
			case words[0] == "version":
				answer = "VERSION mcrouter 1.0\r\n"
			case words[0] == "delete" && len(words) == 2:
				answer = "NOT_FOUND\r\n"
			case commands.Text() == "get __mcrouter__.options(asynclog_disable)":
				answer = fmt.Sprintf("VALUE __mcrouter__.options(asynclog_disable) 0 1\r\n%s\r\nEND\r\n", asynclogDisable)
			}
			if _, err := conn.Write([]byte(answer)); err != nil || answer == "ERROR\r\n" {
				return
			}
		}
	})
}

func TestCheckLooksAtTheStateAndThisMachine(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t)
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	must(t, check(t, cfg, "--admin-listen", taken.Addr().String()), "state_dir", "admin", "fail", "address already in use", "admin.listen")
	must(t, check(t, cfg, "--admin-listen", "127.0.0.1:0"), "state_dir", "admin", "ok", "can be served", "")
	// A password that everybody may read; one that nobody has put there.
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(harness.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, check(t, cfg, "--password-file", secret), "state_dir", "password_file", "ok", "for its owner and group alone", "")
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, check(t, cfg, "--password-file", secret), "state_dir", "password_file", "warn", "may read "+secret, "chmod o= "+secret)
	harness.Call{Args: []string{"check", "--config", cfg.Path, "--password-file", secret + "x"}, Env: []string{"MCSQUEAL_PASSWORD="}}.Run(t).
		MustEnd(t, 2, "read the source's password", secret+"x", "no such file")
	// What was saved cannot be read.
	if err := os.Mkdir(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	// It is another's.
	if os.Geteuid() == 0 {
		path := filepath.Join(cfg.StateDir, "checkpoint.json")
		if err := os.WriteFile(path, []byte(`{"version": 1}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(cfg.StateDir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		must(t, check(t, cfg), "state_dir", "state_dir", "warn", "checkpoint.json belongs to the account 0, and state_dir to 65534", "chown --reference="+cfg.StateDir+" "+path)
		if err := os.Chown(cfg.StateDir, 0, 0); err != nil {
			t.Fatal(err)
		}
		must(t, check(t, cfg), "state_dir", "state_dir", "ok", "can be written to", "")
	}
	if err := os.WriteFile(filepath.Join(cfg.StateDir, "checkpoint.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, check(t, cfg), "state_dir", "checkpoint", "fail", "restore the file from a copy", "restore")
	// A mistake in the configuration is none of the findings.
	harness.Mcsqueal(t, "check", "--config", cfg.Path, "--visibility", "delay:0s").MustEnd(t, 2, "visibility")
	harness.Mcsqueal(t, "check", "--source", db.SourceURL()).MustEnd(t, 2, "no cluster is defined")
	// There is hardly any room.
	cfg.StateDir = filepath.Join(tinyDisk(t, 1<<20), "state")
	cfg.Write(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
	must(t, check(t, cfg), "state_dir", "space", "warn", "are free", "room on the disk")
}
