package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// What keeps a source from being tailed is said at start, with the statement that
// mends it.
func TestSetUpErrorsSayWhatMendsThem(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		s := db.Session(t)
		bare := db.Schema + "_bare"
		s.Exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", bare, harness.Password))
		reader := db.Schema + "_reader"
		s.Exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", reader, harness.Password))
		s.Exec(t, fmt.Sprintf("GRANT REPLICATION CLIENT ON *.* TO '%s'@'%%'", reader))
		// An account for one host is not the one for every host.
		local := db.Schema + "_local"
		s.Exec(t, fmt.Sprintf("CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s'", local, harness.Password))
		s.Exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY 'another'", local))
		secret := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(secret, []byte("wrong\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		as := func(name string) string { return strings.Replace(db.SourceURL(), harness.User+"@", name+"@", 1) }
		grant := func(name string) string {
			return fmt.Sprintf("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '%s'@'%%'", name)
		}
		grantLocal := strings.Replace(grant(local), "%", "127.0.0.1", 1)
		const refused = "the server refuses the login"
		wrong, right := "mariadb", "mysql"
		if !db.IsMySQL() {
			wrong, right = right, wrong
		}
		for _, c := range []struct {
			name  string
			url   string
			env   []string
			parts []string
		}{
			{"the other kind of server", strings.Replace(db.SourceURL(), right, wrong, 1), nil, []string{"says " + wrong, "is " + right, right + "://"}},
			{"a wrong password", db.SourceURL(), []string{"MCSQUEAL_PASSWORD=wrong"}, []string{
				refused + ": is the password right? It came from MCSQUEAL_PASSWORD (", "mend it with: the account's password in MCSQUEAL_PASSWORD or password_file; or,",
				"CREATE USER 'mcsqueal'@'127.0.0.1' IDENTIFIED BY",
			}},
			{"no password", db.SourceURL(), []string{"MCSQUEAL_PASSWORD="}, []string{refused + ", for which no password was given", "MCSQUEAL_PASSWORD"}},
			{"no such user", as("nobody"), nil, []string{refused, "CREATE USER 'nobody'@'127.0.0.1'"}},
			{"no privilege at all", as(bare), nil, []string{"lacks", grant(bare)}},
			{"no privilege at all, of one host", as(local), nil, []string{"lacks", grantLocal}},
			{"no privilege to replicate", as(reader), nil, []string{"the account '" + reader + "'@'%' lacks the privilege REPLICATION SLAVE", grant(reader)}},
			{"nobody there", strings.Replace(db.SourceURL(), db.Addr(), "127.0.0.1:1", 1), nil, []string{"127.0.0.1:1", "refused"}},
			{"no such socket", fmt.Sprintf("%s://%s@/?socket=/nonexistent/sock", right, harness.User), nil, []string{"/nonexistent/sock", "no such file"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				cfg := harness.Configure(t, c.url, "clusters:", cluster("east", "servers", m.Addr()))
				harness.Call{Args: []string{"run", "--config", cfg.Path}, Env: c.env}.Run(t).MustEnd(t, 1, c.parts...)
				harness.Call{Args: []string{"run", "--dry-run", "--config", cfg.Path}, Env: c.env}.Run(t).MustEnd(t, 1, c.parts...)
				harness.Call{Args: []string{"replay", "--dry-run", "--from", "oldest", "--config", cfg.Path}, Env: c.env}.Run(t).MustEnd(t, 1, c.parts...)
			})
		}
		for _, c := range []struct{ variable, from string }{
			{"", "password_file " + secret}, {"wrong", "MCSQUEAL_PASSWORD, which goes before password_file"},
		} {
			harness.Call{Args: []string{"replay", "--dry-run", "--from", "oldest", "--source", db.SourceURL(), "--password-file", secret}, Env: []string{"MCSQUEAL_PASSWORD=" + c.variable}}.
				Run(t).MustEnd(t, 1, refused+": is the password right? It came from "+c.from)
		}
		// The statements do mend it.
		s.Exec(t, grantLocal)
		harness.Configure(t, as(local), "clusters:", cluster("east", "servers", m.Addr())).Daemon(t).Stop(t)
		s.Exec(t, grant(bare))
		harness.Configure(t, as(bare), "clusters:", cluster("east", "servers", m.Addr())).Daemon(t).Stop(t)
	})
}

// TLS is what was asked for on every connection, or an error: it never falls back.
func TestTLSNeverFallsBack(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		s := db.Session(t)
		name := db.Schema + "_tls"
		s.Exec(t, fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s' REQUIRE SSL", name, harness.Password))
		s.Exec(t, fmt.Sprintf("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '%s'@'%%'", name))
		url := strings.Replace(db.SourceURL(), harness.User+"@", name+"@", 1)
		cfg := harness.Configure(t, url, "clusters:", cluster("east", "servers", m.Addr()))
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 1, "refuses the login")
		if !db.IsMySQL() {
			// This server has no certificate.
			harness.Mcsqueal(t, "run", "--config", cfg.Path, "--tls-mode", "skip-verify").MustEnd(t, 1, db.Addr(), "TLS")
			return
		}
		harness.Mcsqueal(t, "run", "--config", cfg.Path, "--tls-mode", "verify").MustEnd(t, 1, db.Addr(), "certificate")
		harness.Mcsqueal(t, "run", "--config", cfg.Path, "--tls-mode", "verify-ca").MustEnd(t, 1, db.Addr(), "certificate")
		for _, flags := range [][]string{
			{"--tls-mode", "skip-verify"},
			{"--tls-mode", "verify-ca", "--tls-ca", filepath.Join(db.DataDir(), "ca.pem")}, // made by the server at its start
		} {
			daemon := cfg.Daemon(t, flags...)
			s.Settle(t, m)
			daemon.Stop(t)
		}
	})
}

func TestSourceWithoutBinaryLogIsRefused(t *testing.T) {
	t.Parallel()
	harness.EachOwn(t, servers.Config{Args: []string{"--skip-log-bin"}}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 1, "the binary log is off", "log_bin")
		cfg.Replay(t, "--from", "oldest").MustEnd(t, 1, "the binary log is off", "log_bin")
	})
}

func TestSourceWithoutStatementTextIsRefused(t *testing.T) {
	t.Parallel()
	for kind, variable := range map[servers.Kind]string{
		servers.KindMySQL:   "binlog_rows_query_log_events",
		servers.KindMariaDB: "binlog_annotate_row_events",
	} {
		t.Run(kind.Name(), func(t *testing.T) {
			t.Parallel()
			db := harness.Own(t, kind, servers.Config{Args: []string{"--" + variable + "=OFF"}})
			m := harness.NewCache(t)
			cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
			statement := "SET PERSIST " + variable + " = ON"
			if !db.IsMySQL() {
				statement = "SET GLOBAL " + variable + " = ON"
			}
			harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 1, variable+" is OFF", statement)
			// What an older log holds is replayed all the same, and said.
			p := cfg.Replay(t, "--from", "oldest")
			if p.Status() != 0 || len(p.Said("statement text is off.*"+variable)) != 1 {
				t.Errorf("exit status %d, and it says %q", p.Status(), p.Stderr.String())
			}
			// The statement does mend it, for who connects from then on.
			old := db.Session(t)
			db.Exec(t, statement)
			daemon := cfg.Daemon(t)
			db.Session(t).Settle(t, m)
			// Who has it off in his session is noticed.
			lost := db.Key("lost")
			m.Fill(t, lost)
			old.Commit(t, lost)
			daemon.Says(t, "rows without their statement's text.* mend=\""+statement)
			db.Session(t).Settle(t, m)
			m.MustHave(t, lost)
			daemon.Stop(t)
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
			p := harness.Mcsqueal(t, "run", "--config", path)
			p.MustEnd(t, 2, c.parts...)
			if strings.Contains(p.Stderr.String(), "secret") {
				t.Errorf("it tells the password: %s", p.Stderr.String())
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		harness.Mcsqueal(t, "run", "--config", filepath.Join(dir, "none.yaml")).MustEnd(t, 2, "none.yaml", "no such file")
	})
	t.Run("a password in the flag", func(t *testing.T) {
		p := harness.Mcsqueal(t, "run", "--source", "mysql://u:secret@h:3306", "--cluster", "east=h:1")
		p.MustEnd(t, 2, "--source", "password", "MCSQUEAL_PASSWORD")
		if strings.Contains(p.Stderr.String(), "secret") {
			t.Errorf("it tells the password: %s", p.Stderr.String())
		}
	})
	t.Run("an unknown command", func(t *testing.T) { harness.Mcsqueal(t, "tail").MustEnd(t, 2, "tail", "--help") })
	t.Run("one that is misspelt", func(t *testing.T) { harness.Mcsqueal(t, "chek").MustEnd(t, 2, "chek", "did you mean check?") })
	t.Run("an argument too many", func(t *testing.T) { harness.Mcsqueal(t, "run", "now").MustEnd(t, 2, "now") })
	t.Run("an unknown flag", func(t *testing.T) { harness.Mcsqueal(t, "run", "--sourec", "x").MustEnd(t, 2, "sourec", "--help") })
}

// Everything can be said by flags alone, the password from a file.
func TestFlagsAloneConfigureADaemon(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		secret := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(secret, []byte(harness.Password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		state := filepath.Join(t.TempDir(), "state")
		daemon := harness.Call{
			Args: []string{
				"run", "--source", db.SourceURL(), "--password-file", secret, "--state-dir", state, "--admin-listen", "",
				"--cluster", "east=" + m.Addr(), "--tag", "cache", "--log-format", "json", "--start", "now",
			},
			Env: []string{"MCSQUEAL_PASSWORD="},
		}.Start(t)
		daemon.Says(t, `"msg":"tailing"`)
		s := db.Session(t)
		gone, kept := db.Key("gone"), db.Key("kept")
		m.Fill(t, gone, kept)
		s.Exec(t, "INSERT /* mc: {kept} */ INTO settled VALUES ()")
		s.Exec(t, "INSERT /* cache: {gone} */ INTO settled VALUES ()")
		m.AwaitGone(t, gone)
		m.MustHave(t, kept)
		daemon.Stop(t)
		if p := harness.Mcsqueal(t, "checkpoint", "show", "--state-dir", state); p.Status() != 0 || !strings.Contains(p.Stdout.String(), "east") {
			t.Errorf("checkpoint show: exit status %d, %q", p.Status(), p.Stdout.String())
		}
	})
}

func TestVersionIsTold(t *testing.T) {
	t.Parallel()
	if p := harness.Mcsqueal(t, "version"); p.Status() != 0 || !strings.HasPrefix(p.Stdout.String(), "mcsqueal "+harness.Version+" go1.") {
		t.Errorf("exit status %d, %q", p.Status(), p.Stdout.String())
	}
}
