package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// finding is what `mcsqueal check --json` says of one thing.
type finding struct{ Level, About, Check, Says, Mend string }

// check runs `mcsqueal check --json` and gives what it has found.
func (s *settings) check(t *testing.T, args ...string) []finding {
	t.Helper()
	p := mcsqueal(t, append([]string{"check", "--json", "--config", s.path}, args...)...)
	var said struct {
		OK       bool
		Findings []finding
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), &said); err != nil {
		t.Fatalf("%v: %s%s", err, p.stdout.String(), p.stderr.String())
	}
	fails := 0
	for _, f := range said.Findings {
		if f.Level == "fail" {
			fails++
		}
	}
	if status := min(fails, 1); p.status != status || said.OK != (fails == 0) {
		t.Errorf("%d findings fail, and the exit status is %d and ok %v", fails, p.status, said.OK)
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
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.exec(t, "SET GLOBAL sync_binlog = 1")
		if db.mysql() {
			db.exec(t, "GRANT XA_RECOVER_ADMIN ON *.* TO 'mcsqueal'@'%'")
		}
		db.grant(t)
		db.exec(t, "CREATE TABLE users (id INT PRIMARY KEY)")
		back := newCache(t)
		cfg := configure(t, db.url(), "rules:", db.rules("users", "user:{id}"), "clusters:",
			cluster("east", "servers", newCache(t).Addr(), servers.Memcache(t, servers.MemcachedConfig{Old: true}).Addr()),
			cluster("west", "routers", servers.Proxy(t, servers.ProxyConfig{Backends: []string{back.Addr()}}).Addr()))
		for _, f := range cfg.check(t) {
			if f.Level != "ok" {
				t.Errorf("%+v", f)
			}
		}
		if _, err := os.Stat(cfg.stateDir); !os.IsNotExist(err) {
			t.Errorf("the state_dir is there: %v", err)
		}
		// In words, without colours where it is no terminal.
		p := mcsqueal(t, "check", "--config", cfg.path)
		if p.status != 0 || strings.Contains(p.stdout.String(), "\x1b") {
			t.Errorf("exit status %d: %s", p.status, p.stdout.String())
		}
		for _, part := range []string{"source " + db.Addr() + "\n", "  ok    binlog_format is ROW\n", "  ok    a delete is taken\n", ", 0 to look at, 0 to mend\n"} {
			if !strings.Contains(p.stdout.String(), part) {
				t.Errorf("%q is not in\n%s", part, p.stdout.String())
			}
		}
		// Beside a daemon, whose lock, port and connection are its own.
		daemon := cfg.daemon(t)
		db.session(t).commit(t, db.key("k"))
		await(t, "the daemon is called by its name", func() bool {
			return !db.mysql() || len(cfg.said(t, "server_id", "that of the daemon that is running")) > 0
		})
		for _, f := range cfg.check(t) {
			if f.Level != "ok" {
				t.Errorf("beside a daemon: %+v", f)
			}
		}
		must(t, cfg.check(t), "state_dir", "state_dir", "ok", fmt.Sprintf("the daemon that works in it is process %d", daemon.pid), "")
		daemon.stop(t)
		for _, name := range []string{"east", "west"} {
			found := cfg.said(t, "position", "cluster "+name)
			if len(found) != 1 || found[0].Level != "ok" {
				t.Errorf("of %s's position: %+v", name, found)
			}
		}
	})
}

// said are the findings of a check that say something.
func (s *settings) said(t *testing.T, check, says string) (all []finding) {
	t.Helper()
	for _, f := range s.check(t) {
		if f.Check == check && strings.Contains(f.Says, says) {
			all = append(all, f)
		}
	}
	return all
}

// Each setting of a server that may be wrong is made so in turn; what is named as its
// mend is then done, word for word, and mends it.
func TestCheckNamesTheStatementThatMendsASetting(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		db.grant(t)
		db.exec(t, "CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(100))")
		m := newCache(t)
		tags := []string{"clusters:", cluster("east", "servers", m.Addr())}
		rules := append([]string{"rules:", db.rules("users", "user:{email}")}, tags...)
		text := "binlog_rows_query_log_events"
		if !db.mysql() {
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
			if c.mysql && !db.mysql() {
				continue
			}
			db.exec(t, "SET GLOBAL "+c.spoil)
			cfg := configure(t, db.url(), c.config...)
			mend := must(t, cfg.check(t), "source", c.check, c.level, c.says, "SET ").Mend
			statement, _, _ := strings.Cut(mend, ";")
			statement, _, _ = strings.Cut(statement, " (and ")
			db.exec(t, statement)
			if f := find(t, cfg.check(t), "source", c.check); f.Level != "ok" {
				t.Errorf("%s: after %s it is %+v", c.name, statement, f)
			}
		}
		if !db.mysql() {
			return
		}
		// The steps by which GTIDs are turned on.
		for _, mode := range []string{"ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"} {
			db.exec(t, "SET GLOBAL gtid_mode = "+mode)
		}
		cfg := configure(t, db.url(), tags...)
		found := cfg.check(t)
		must(t, found, "source", "visibility", "warn", "visibility is auto", "visibility: auto, and SET PERSIST enforce_gtid_consistency = ON")
		mend := must(t, found, "source", "gtid_mode", "warn", "gtid_mode is OFF", "").Mend
		statements, _, _ := strings.Cut(mend, ", each")
		for statement := range strings.SplitSeq(statements, "; ") {
			db.exec(t, statement)
		}
		for _, check := range []string{"gtid_mode", "visibility"} {
			if f := find(t, cfg.check(t), "source", check); f.Level != "ok" {
				t.Errorf("%s: after the steps it is %+v", check, f)
			}
		}
	})
}

// What visibility asks for is held against the point at which semi-synchronous
// replication waits.
func TestCheckHoldsVisibilityAgainstSemiSync(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
		must(t, cfg.check(t, "--visibility", "off"), "source", "visibility", "warn", "visibility is off", "visibility: auto")
		if db.mysql() {
			db.exec(t, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
			db.exec(t, "SET GLOBAL rpl_semi_sync_source_enabled = ON")
		} else {
			db.exec(t, "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC")
			db.exec(t, "SET GLOBAL rpl_semi_sync_master_enabled = ON")
		}
		must(t, cfg.check(t), "source", "visibility", "ok", "waits AFTER_SYNC, and is waited for", "")
		for _, v := range []string{"off", "delay:50ms"} {
			must(t, cfg.check(t, "--visibility", v), "source", "visibility", "fail", "visibility is "+v+", and semi-synchronous replication waits AFTER_SYNC", "visibility: auto")
		}
	})
}

// Whom the server does not let in, or not far enough, gets the statements that do.
func TestCheckNamesTheGrantsThatAreMissing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		s := db.session(t)
		name := db.schema + "_check"
		url := strings.Replace(db.url(), user+"@", name+"@", 1)
		cfg := configure(t, url, "clusters:", cluster("east", "servers", newCache(t).Addr()))
		mend := must(t, cfg.check(t), "source", "connect", "fail", "refuses the login", "CREATE USER '"+name+"'@'127.0.0.1' IDENTIFIED BY '…'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '"+name+"'@'127.0.0.1'").Mend
		_, mend, _ = strings.Cut(mend, "no such account: ")
		create, grant, _ := strings.Cut(mend, "; ")
		s.exec(t, strings.Replace(create, "…", password, 1))
		found := cfg.check(t)
		mend = must(t, found, "source", "privileges", "fail", "lacks", grant).Mend
		// No position is wrong.
		must(t, found, "state_dir", "start", "warn", "cannot be found out where east would begin: the account", mend)
		s.exec(t, mend)
		must(t, cfg.check(t), "source", "privileges", "ok", "may read the log", "")
		if db.mysql() {
			mend = must(t, cfg.check(t), "source", "xa", "warn", "cannot be found out", "GRANT XA_RECOVER_ADMIN ON *.* TO '"+name+"'@'127.0.0.1'").Mend
			s.exec(t, mend)
			must(t, cfg.check(t), "source", "xa", "ok", "", "")
		}
		must(t, cfg.check(t), "source", "account", "ok", name, "")
		s.exec(t, fmt.Sprintf("GRANT ALL PRIVILEGES ON *.* TO '%s'@'127.0.0.1'", name))
		must(t, cfg.check(t), "source", "account", "warn", "may do everything", "REPLICATION SLAVE, REPLICATION CLIENT")
		// A wrong password, and no server at all.
		p := call{args: []string{"check", "--config", cfg.path}, env: []string{"MCSQUEAL_PASSWORD=wrong"}}.run(t)
		p.failed(t, 1, "keep mcsqueal from its work")
		for _, part := range []string{"fail  the server refuses the login: is the password right? It came from MCSQUEAL_PASSWORD", "mend: the account's password in MCSQUEAL_PASSWORD or password_file"} {
			if !strings.Contains(p.stdout.String(), part) {
				t.Errorf("%q is not in\n%s", part, p.stdout.String())
			}
		}
		if strings.Contains(p.stdout.String()+p.stderr.String(), "wrong") {
			t.Errorf("the password is in\n%s%s", p.stdout.String(), p.stderr.String())
		}
		cfg = configure(t, strings.Replace(db.url(), db.Addr(), "127.0.0.1:1", 1), "clusters:", cluster("east", "servers", newCache(t).Addr()))
		must(t, cfg.check(t), "source", "connect", "fail", "connection refused", "start it, let this machine in, or mend source.url")
	})
}

func TestCheckSaysWhatIsWrongWithTheLogAndThePositionsInIt(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t)
		s := db.session(t)
		s.settle(t, m)
		daemon.stop(t)
		must(t, cfg.check(t), "state_dir", "position", "ok", "cluster east goes on from", "")
		s.commit(t, db.key("purged"))
		s.exec(t, "FLUSH BINARY LOGS")
		s.commit(t, db.key("kept"))
		s.exec(t, "FLUSH BINARY LOGS")
		file, _ := s.place(t)
		// A dump that has only just ended holds its file for a moment.
		await(t, "the log is purged", func() bool {
			s.exec(t, "PURGE BINARY LOGS TO '"+file+"'")
			for row := range s.rows(t, "SHOW BINARY LOGS") {
				if row["Log_name"] != file {
					return false
				}
			}
			return true
		})
		must(t, cfg.check(t), "state_dir", "position", "fail", "cluster east: gap", "mcsqueal checkpoint set --cluster east --to now")
		cfg.write(t, db.url(), "clusters:", cluster("west", "servers", m.Addr()))
		must(t, cfg.check(t), "state_dir", "checkpoint", "fail", "a cluster east that the configuration lacks", "mcsqueal checkpoint drop --cluster east")
		mcsqueal(t, "checkpoint", "drop", "--cluster", "east", "--config", cfg.path).failed(t, 0)
		must(t, cfg.check(t), "state_dir", "checkpoint", "ok", "there is no checkpoint yet", "")
		must(t, cfg.check(t), "state_dir", "start", "ok", "west would begin at now", "")
		must(t, cfg.check(t, "--start", "file:bin.000099:4"), "state_dir", "start", "fail", "west would begin", "start: now, oldest")
		// The name of the dump connection is the server's own, or another daemon's.
		must(t, cfg.check(t, "--server-id", fmt.Sprint(db.ServerID())), "source", "server_id", "fail", "is the server's own", "source.server_id")
		must(t, cfg.check(t, "--server-id", "4711"), "source", "server_id", "ok", "4711 is nobody else's", "")
		other := configure(t, db.url(), "clusters:", cluster("west", "servers", m.Addr()))
		daemon = other.daemon(t, "--server-id", "4711")
		s.settle(t, m)
		if db.mysql() {
			must(t, cfg.check(t, "--server-id", "4711"), "source", "server_id", "fail", "is another's already", "source.server_id")
		} else {
			must(t, cfg.check(t, "--server-id", "4711"), "source", "server_id", "warn", "nobody else may be called 4711", "SHOW SLAVE HOSTS")
			must(t, cfg.check(t), "source", "server_id", "ok", "is derived from", "")
		}
		daemon.stop(t)
		// The clocks of the machine and of the server.
		db.exec(t, "SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() - 100'")
		must(t, cfg.check(t), "source", "clock", "warn", "behind this machine's", "NTP")
	})
	t.Run("no log", func(t *testing.T) {
		db := own(t, servers.KindMySQL, servers.Config{Args: []string{"--skip-log-bin"}})
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
		must(t, cfg.check(t), "source", "log_bin", "fail", "the binary log is off", "log_bin = bin and a server_id in the server's configuration")
	})
	for kind, arg := range map[servers.Kind]string{servers.KindMySQL: "--log-replica-updates=OFF", servers.KindMariaDB: "--log-slave-updates=OFF"} {
		t.Run("a replica that logs nothing, "+nameOf(kind), func(t *testing.T) {
			t.Parallel()
			first := own(t, kind, servers.Config{})
			start := servers.MySQL
			if kind == servers.KindMariaDB {
				start = servers.MariaDB
			}
			replica := start(t, servers.Config{Args: []string{arg}})
			if err := replica.ReplicateFrom(t.Context(), first.Database); err != nil {
				t.Fatal(err)
			}
			await(t, "the user is replicated", func() bool {
				var n int
				return replica.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM mysql.user WHERE user = 'mcsqueal'").Scan(&n) == nil && n == 1
			})
			cfg := configure(t, strings.Replace(first.url(), first.Addr(), replica.Addr(), 1), "clusters:", cluster("east", "servers", newCache(t).Addr()))
			must(t, cfg.check(t), "source", "replica", "fail", "does not log what it replicates", "log_replica_updates = ON")
			// Of several, one that is away is failed over to later.
			cfg = configure(t, first.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
			away := strings.Replace(first.url(), first.Addr(), "127.0.0.1:1", 1)
			found := cfg.check(t, "--source", first.url(), "--source", away)
			must(t, found, "127.0.0.1:1", "connect", "warn", "connection refused", "")
			must(t, found, first.Addr(), "privileges", "ok", "", "")
		})
	}
}

func TestCheckSaysHowTheSourceIsReached(t *testing.T) {
	t.Parallel()
	db := own(t, servers.KindMySQL, servers.Config{})
	ca := filepath.Join(db.DataDir(), "ca.pem") // made by the server at its start
	cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
	must(t, cfg.check(t), "source", "tls", "ok", "not encrypted, and does not leave this machine", "")
	must(t, cfg.check(t, "--tls-mode", "skip-verify"), "source", "tls", "warn", "the server may be anybody", "source.tls.mode: verify")
	must(t, cfg.check(t, "--tls-mode", "verify-ca", "--tls-ca", ca), "source", "tls", "ok", "whatever its name", "")
	must(t, cfg.check(t, "--tls-mode", "verify"), "source", "connect", "fail", "certificate", "tls")
	// One that is out of date.
	a := newAuthority(t)
	right, key := a.issue(t, "server", server(time.Now().Add(time.Hour)))
	db = own(t, servers.KindMySQL, servers.Config{Args: []string{"--ssl-ca=" + a.path, "--ssl-cert=" + right, "--ssl-key=" + key}})
	cfg = configure(t, db.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
	must(t, cfg.check(t, "--tls-ca", a.path), "source", "tls", "ok", "vouches for the server's name", "")
	expired, key := a.issue(t, "expired", server(time.Now().Add(-time.Minute)))
	db = own(t, servers.KindMySQL, servers.Config{Args: []string{"--ssl-ca=" + a.path, "--ssl-cert=" + expired, "--ssl-key=" + key}})
	cfg = configure(t, db.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
	must(t, cfg.check(t, "--tls-ca", a.path), "source", "connect", "fail", "certificate has expired", "a certificate that is valid now")
	p := mcsqueal(t, "run", "--config", cfg.path, "--tls-ca", a.path)
	p.failed(t, 1, "certificate has expired")
	if len(p.said("connect to "+db.Addr())) != 1 {
		t.Errorf("it does not say where: %s", p.stderr.String())
	}
}

// Each thing that may be wrong with a router or a server is so in turn.
func TestCheckSaysWhatIsWrongWithRoutersAndServers(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t)
	one, two := newCache(t), newCache(t)
	old := servers.Memcache(t, servers.MemcachedConfig{Old: true})
	router := servers.Proxy(t, servers.ProxyConfig{Backends: []string{one.Addr()}})
	astray := servers.Proxy(t, servers.ProxyConfig{Backends: []string{"127.0.0.1:1"}})
	a := newAuthority(t)
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
		{"TLS", with(cluster("c", "servers", secure.SecureAddr()), "tls: {ca: "+a.path+"}"), "server", "tls", "ok", "an authority vouches for its name", ""},
		{"TLS with anybody", with(cluster("c", "servers", secure.SecureAddr()), "tls: {mode: skip-verify}"), "server", "tls", "warn", "it may be anybody", "tls.mode: verify"},
		{"TLS by strangers", with(cluster("c", "servers", secure.SecureAddr()), "tls: {mode: verify-ca}"), "server", "connect", "fail", "unknown authority", "tls.ca"},
		{"TLS under another name", with(cluster("c", "servers", secure.SecureAddr()), "tls: {ca: "+a.path+", server_name: x.example}"), "server", "connect", "fail", "x.example", "tls.server_name"},
		{"TLS out of date", with(cluster("c", "servers", expired.SecureAddr()), "tls: {ca: "+a.path+"}"), "server", "connect", "fail", "has expired", "valid now"},
		{"TLS to who does not speak it", with(cluster("c", "servers", one.Addr()), "tls: {mode: verify}"), "server", "connect", "fail", "does not look like a TLS handshake", "tls.mode: off"},
		{"no TLS to who speaks it", cluster("c", "servers", secure.SecureAddr()), "server", "connect", "fail", "version", "tls.mode: verify"},
		{"a file that is not there", with(cluster("c", "servers", secure.SecureAddr()), "tls: {ca: /nonexistent}"), "cluster c", "tls", "fail", "/nonexistent", "files that"},
		{"a flush through a router", "  - {name: c, routers: [" + router.Addr() + "], flush: [" + router.Addr() + "]}\non_gap: flush", "cluster c", "flush", "fail", "passes no flush_all on", "the cache servers behind it"},
		{"a flush of servers", "  - {name: c, routers: [" + router.Addr() + "], flush: [" + one.Addr() + "]}\non_gap: flush", "cluster c", "flush", "ok", "can be flushed", ""},
		{"a flush of who is away", "  - {name: c, routers: [" + router.Addr() + "], flush: [" + away + "]}\non_gap: flush", "cluster c", "flush", "warn", "cannot be reached", "start it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := configure(t, db.url(), "clusters:", c.cluster)
			found := cfg.check(t)
			must(t, found, c.about, c.check, c.level, c.says, c.mend)
		})
	}
}

// newMcrouter is what mcrouter answers, as its source has it (ServiceInfo-inl.h,
// options.cpp): it speaks text alone, and says of its options what it was started with. It
// is a fake, for a mcrouter is hard to come by.
func newMcrouter(t *testing.T, asynclogDisable string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(t.Context(), func() { conn.Close() })
				defer stop()
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
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func TestCheckLooksAtTheStateAndThisMachine(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t)
	cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	must(t, cfg.check(t, "--admin-listen", taken.Addr().String()), "state_dir", "admin", "fail", "address already in use", "admin.listen")
	must(t, cfg.check(t, "--admin-listen", "127.0.0.1:0"), "state_dir", "admin", "ok", "can be served", "")
	// A password that everybody may read; one that nobody has put there.
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, cfg.check(t, "--password-file", secret), "state_dir", "password_file", "ok", "for its owner and group alone", "")
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, cfg.check(t, "--password-file", secret), "state_dir", "password_file", "warn", "may read "+secret, "chmod o= "+secret)
	call{args: []string{"check", "--config", cfg.path, "--password-file", secret + "x"}, env: []string{"MCSQUEAL_PASSWORD="}}.run(t).
		failed(t, 2, "read the source's password", secret+"x", "no such file")
	// What was saved cannot be read.
	if err := os.Mkdir(cfg.stateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.stateDir, "checkpoint.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, cfg.check(t), "state_dir", "checkpoint", "fail", "restore the file from a copy", "restore")
	// A mistake in the configuration is none of the findings.
	mcsqueal(t, "check", "--config", cfg.path, "--visibility", "delay:0s").failed(t, 2, "visibility")
	mcsqueal(t, "check", "--source", db.url()).failed(t, 2, "no cluster is defined")
	// There is hardly any room.
	cfg.stateDir = filepath.Join(tinyDisk(t, 1<<20), "state")
	cfg.write(t, db.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
	must(t, cfg.check(t), "state_dir", "space", "warn", "are free", "room on the disk")
}
