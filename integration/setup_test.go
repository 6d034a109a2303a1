package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// What keeps a source from being tailed is said at start, with the statement that
// mends it.
func TestSetUpErrorsSayWhatMendsThem(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		s := db.session(t)
		bare := db.schema + "_bare"
		s.exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", bare, password))
		reader := db.schema + "_reader"
		s.exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", reader, password))
		s.exec(t, fmt.Sprintf("GRANT REPLICATION CLIENT ON *.* TO '%s'@'%%'", reader))
		// An account for one host is not the one for every host.
		local := db.schema + "_local"
		s.exec(t, fmt.Sprintf("CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s'", local, password))
		s.exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY 'another'", local))
		secret := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(secret, []byte("wrong\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		as := func(name string) string { return strings.Replace(db.url(), user+"@", name+"@", 1) }
		grant := func(name string) string {
			return fmt.Sprintf("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '%s'@'%%'", name)
		}
		grantLocal := strings.Replace(grant(local), "%", "127.0.0.1", 1)
		const refused = "the server refuses the login"
		wrong, right := "mariadb", "mysql"
		if !db.mysql() {
			wrong, right = right, wrong
		}
		for _, c := range []struct {
			name  string
			url   string
			env   []string
			parts []string
		}{
			{"the other kind of server", strings.Replace(db.url(), right, wrong, 1), nil, []string{"says " + wrong, "is " + right, right + "://"}},
			{"a wrong password", db.url(), []string{"MCSQUEAL_PASSWORD=wrong"}, []string{
				refused + ": is the password right? It came from MCSQUEAL_PASSWORD (", "mend it with: the account's password in MCSQUEAL_PASSWORD or password_file; or,",
				"CREATE USER 'mcsqueal'@'127.0.0.1' IDENTIFIED BY",
			}},
			{"no password", db.url(), []string{"MCSQUEAL_PASSWORD="}, []string{refused + ", for which no password was given", "MCSQUEAL_PASSWORD"}},
			{"no such user", as("nobody"), nil, []string{refused, "CREATE USER 'nobody'@'127.0.0.1'"}},
			{"no privilege at all", as(bare), nil, []string{"lacks", grant(bare)}},
			{"no privilege at all, of one host", as(local), nil, []string{"lacks", grantLocal}},
			{"no privilege to replicate", as(reader), nil, []string{"the account '" + reader + "'@'%' lacks the privilege REPLICATION SLAVE", grant(reader)}},
			{"nobody there", strings.Replace(db.url(), db.Addr(), "127.0.0.1:1", 1), nil, []string{"127.0.0.1:1", "refused"}},
			{"no such socket", fmt.Sprintf("%s://%s@/?socket=/nonexistent/sock", right, user), nil, []string{"/nonexistent/sock", "no such file"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				cfg := configure(t, c.url, "clusters:", cluster("east", "servers", m.Addr()))
				call{args: []string{"run", "--config", cfg.path}, env: c.env}.run(t).failed(t, 1, c.parts...)
				call{args: []string{"run", "--dry-run", "--config", cfg.path}, env: c.env}.run(t).failed(t, 1, c.parts...)
				call{args: []string{"replay", "--dry-run", "--from", "oldest", "--config", cfg.path}, env: c.env}.run(t).failed(t, 1, c.parts...)
			})
		}
		for _, c := range []struct{ variable, from string }{
			{"", "password_file " + secret}, {"wrong", "MCSQUEAL_PASSWORD, which goes before password_file"},
		} {
			call{args: []string{"replay", "--dry-run", "--from", "oldest", "--source", db.url(), "--password-file", secret}, env: []string{"MCSQUEAL_PASSWORD=" + c.variable}}.
				run(t).failed(t, 1, refused+": is the password right? It came from "+c.from)
		}
		// The statements do mend it.
		s.exec(t, grantLocal)
		configure(t, as(local), "clusters:", cluster("east", "servers", m.Addr())).daemon(t).stop(t)
		s.exec(t, grant(bare))
		configure(t, as(bare), "clusters:", cluster("east", "servers", m.Addr())).daemon(t).stop(t)
	})
}

// TLS is what was asked for on every connection, or an error: it never falls back.
func TestTLSNeverFallsBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		s := db.session(t)
		name := db.schema + "_tls"
		s.exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s' REQUIRE SSL", name, password))
		s.exec(t, fmt.Sprintf("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '%s'@'%%'", name))
		url := strings.Replace(db.url(), user+"@", name+"@", 1)
		cfg := configure(t, url, "clusters:", cluster("east", "servers", m.Addr()))
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 1, "refuses the login")
		if !db.mysql() {
			// This server has no certificate.
			mcsqueal(t, "run", "--config", cfg.path, "--tls-mode", "skip-verify").failed(t, 1, db.Addr(), "TLS")
			return
		}
		mcsqueal(t, "run", "--config", cfg.path, "--tls-mode", "verify").failed(t, 1, db.Addr(), "certificate")
		mcsqueal(t, "run", "--config", cfg.path, "--tls-mode", "verify-ca").failed(t, 1, db.Addr(), "certificate")
		for _, flags := range [][]string{
			{"--tls-mode", "skip-verify"},
			{"--tls-mode", "verify-ca", "--tls-ca", filepath.Join(db.DataDir(), "ca.pem")}, // made by the server at its start
		} {
			daemon := cfg.daemon(t, flags...)
			s.settle(t, m)
			daemon.stop(t)
		}
	})
}

func TestSourceWithoutBinaryLogIsRefused(t *testing.T) {
	t.Parallel()
	eachOwn(t, servers.Config{Args: []string{"--skip-log-bin"}}, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 1, "the binary log is off", "log_bin")
		cfg.replay(t, "--from", "oldest").failed(t, 1, "the binary log is off", "log_bin")
	})
}

func TestSourceWithoutStatementTextIsRefused(t *testing.T) {
	t.Parallel()
	for kind, variable := range map[servers.Kind]string{
		servers.KindMySQL:   "binlog_rows_query_log_events",
		servers.KindMariaDB: "binlog_annotate_row_events",
	} {
		t.Run(nameOf(kind), func(t *testing.T) {
			t.Parallel()
			db := own(t, kind, servers.Config{Args: []string{"--" + variable + "=OFF"}})
			m := newCache(t)
			cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
			statement := "SET PERSIST " + variable + " = ON"
			if !db.mysql() {
				statement = "SET GLOBAL " + variable + " = ON"
			}
			mcsqueal(t, "run", "--config", cfg.path).failed(t, 1, variable+" is OFF", statement)
			// What an older log holds is replayed all the same, and said.
			p := cfg.replay(t, "--from", "oldest")
			if p.status != 0 || len(p.said("statement text is off.*"+variable)) != 1 {
				t.Errorf("exit status %d, and it says %q", p.status, p.stderr.String())
			}
			// The statement does mend it, for who connects from then on.
			old := db.session(t)
			db.exec(t, statement)
			daemon := cfg.daemon(t)
			db.session(t).settle(t, m)
			// Who has it off in his session is noticed.
			lost := db.key("lost")
			fill(t, m, lost)
			old.commit(t, lost)
			daemon.says(t, "rows without their statement's text.* mend=\""+statement)
			db.session(t).settle(t, m)
			mustBeThere(t, m, lost)
			daemon.stop(t)
		})
	}
}

func TestConfigurationMistakesNameTheirPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "mcsqueal.yaml")
	for _, c := range []struct {
		name  string
		text  string
		parts []string
	}{
		{"an unknown field", "start: now\nsource: {url: \"mysql://u@h\"}\nclustres: []\n", []string{path + ":3", "clustres", "clusters"}},
		{
			"an unknown field of a cluster", "clusters:\n  - name: east\n    router: [10.0.0.1:11211]\n",
			[]string{path + ":3", "router", "routers"},
		},
		{"an unknown field of the source", "source:\n  url: mysql://u@h\n  pasword_file: /x\n", []string{path + ":3", "pasword_file", "password_file"}},
		{"a password in the URL", "source:\n  url: mysql://u:secret@h:3306\n", []string{path + ":2", "password", "MCSQUEAL_PASSWORD", "password_file"}},
		{"routers and servers", "clusters:\n  - {name: east, routers: [h:1], servers: [h:2]}\n", []string{path + ":2", "routers", "servers"}},
		{"no source", "clusters:\n  - {name: east, routers: [h:1]}\n", []string{"source", "--source"}},
		{"no cluster", "source: {url: \"mysql://u@h\"}\n", []string{"cluster", "--cluster NAME=HOST:PORT"}},
		{"not YAML", "clusters: [\n", []string{path}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			p := mcsqueal(t, "run", "--config", path)
			p.failed(t, 2, c.parts...)
			if strings.Contains(p.stderr.String(), "secret") {
				t.Errorf("it tells the password: %s", p.stderr.String())
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		mcsqueal(t, "run", "--config", filepath.Join(dir, "none.yaml")).failed(t, 2, "none.yaml", "no such file")
	})
	t.Run("a password in the flag", func(t *testing.T) {
		p := mcsqueal(t, "run", "--source", "mysql://u:secret@h:3306", "--cluster", "east=h:1")
		p.failed(t, 2, "--source", "password", "MCSQUEAL_PASSWORD")
		if strings.Contains(p.stderr.String(), "secret") {
			t.Errorf("it tells the password: %s", p.stderr.String())
		}
	})
	t.Run("an unknown command", func(t *testing.T) { mcsqueal(t, "tail").failed(t, 2, "tail", "--help") })
	t.Run("an argument too many", func(t *testing.T) { mcsqueal(t, "run", "now").failed(t, 2, "now") })
	t.Run("an unknown flag", func(t *testing.T) { mcsqueal(t, "run", "--sourec", "x").failed(t, 2, "sourec", "--help") })
}

// Everything can be said by flags alone, the password from a file.
func TestFlagsAloneConfigureADaemon(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		secret := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		state := filepath.Join(t.TempDir(), "state")
		daemon := call{
			args: []string{
				"run", "--source", db.url(), "--password-file", secret, "--state-dir", state, "--admin-listen", "",
				"--cluster", "east=" + m.Addr(), "--tag", "cache", "--log-format", "json", "--start", "now",
			},
			env: []string{"MCSQUEAL_PASSWORD="},
		}.start(t)
		daemon.says(t, `"msg":"tailing"`)
		s := db.session(t)
		gone, kept := db.key("gone"), db.key("kept")
		fill(t, m, gone, kept)
		s.exec(t, "INSERT /* mc: {kept} */ INTO settled VALUES ()")
		s.exec(t, "INSERT /* cache: {gone} */ INTO settled VALUES ()")
		awaitGone(t, m, gone)
		mustBeThere(t, m, kept)
		daemon.stop(t)
		if p := mcsqueal(t, "checkpoint", "show", "--state-dir", state); p.status != 0 || !strings.Contains(p.stdout.String(), "east") {
			t.Errorf("checkpoint show: exit status %d, %q", p.status, p.stdout.String())
		}
	})
}

func TestVersionIsTold(t *testing.T) {
	t.Parallel()
	if p := mcsqueal(t, "version"); p.status != 0 || !strings.HasPrefix(p.stdout.String(), "mcsqueal "+testVersion+" go1.") {
		t.Errorf("exit status %d, %q", p.status, p.stdout.String())
	}
}
