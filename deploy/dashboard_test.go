package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/process"
	"github.com/mcsqueal/mcsqueal/integration/servers"
	"github.com/mcsqueal/mcsqueal/integration/tools"
)

// query is one that a panel of the dashboard asks.
type query struct{ panel, expr string }

// queries are the dashboard's.
func queries(t *testing.T) (all []query) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/mcsqueal.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, query{p.Title, target.Expr})
		}
	}
	if len(all) < 20 {
		t.Fatalf("the dashboard asks %d things", len(all))
	}
	return all
}

// asGrafana puts in what Grafana would, everything being chosen. The interval is longer
// than the test takes, on whatever machine.
var asGrafana = strings.NewReplacer("$__rate_interval", "10m", "$instance", ".*", "$cluster", ".*", "$job", ".*")

// troubles are metrics of which there are none before there is trouble.
var troubles = regexp.MustCompile(`mcsqueal_(rule_rowless_changes|rule_rows_unserved|log_warnings|gaps)_total`)

// prometheus is one that scrapes.
type prometheus struct{ url string }

// startPrometheus has one scrape a daemon and load the alerts.
func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs("prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs: [{job_name: mcsqueal, static_configs: [{targets: [%q]}]}]
`, rules, target))
	address := free(t)
	cmd, err := tools.Prometheus(context.Background(), "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	need(t, "Prometheus", err)
	start(t, cmd)
	p := &prometheus{url: "http://" + address}
	harness.Await(t, "Prometheus is ready", func() bool {
		status, _, err := harness.Get(t, p.url+"/-/ready")
		return err == nil && status == http.StatusOK
	})
	return p
}

// result is what Prometheus answers.
type result struct {
	Status, Error string
	Data          struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
		Groups []struct {
			Rules []struct{ Name, Health, State, LastError string }
		}
	}
}

func (p *prometheus) api(t *testing.T, path string) result {
	t.Helper()
	_, body := harness.MustGet(t, p.url+"/api/v1/"+path)
	var r result
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("%s: %v in %q", path, err, body)
	}
	return r
}

func (p *prometheus) query(t *testing.T, expr string) result {
	t.Helper()
	return p.api(t, "query?query="+url.QueryEscape(expr))
}

// Every query of the dashboard, asked of a Prometheus that watches a daemon at work, has
// an answer; and no alert cries wolf.
func TestTheDashboardShowsADaemonAtWork(t *testing.T) {
	db := servers.MySQL(t, servers.Config{})
	m := servers.Memcache(t, servers.MemcachedConfig{})
	target := free(t)
	daemon(t, db, m, target)
	exec := func(statement string) {
		t.Helper()
		if _, err := db.DB().ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("CREATE DATABASE shop")
	exec("CREATE TABLE shop.users (id INT PRIMARY KEY, n INT NOT NULL)")
	exec("INSERT INTO shop.users VALUES (1, 0)")
	p := startPrometheus(t, target)

	// It works until there is something to be seen of it.
	counted := func(metric string) bool {
		r := p.query(t, "sum(increase("+metric+"[10m])) > 10")
		return r.Status == "success" && len(r.Data.Result) == 1
	}
	i := 0
	harness.Await(t, "Prometheus sees deletes", func() bool {
		i++
		exec(fmt.Sprintf("UPDATE /* mc: user:1 user:%d */ shop.users SET n = n + 1", i))
		exec("UPDATE shop.users SET n = n + 1")
		return counted("mcsqueal_deletes_total") && counted("mcsqueal_transactions_without_keys_total")
	})
	for _, q := range queries(t) {
		expr := asGrafana.Replace(q.expr)
		if strings.Contains(expr, "$") {
			t.Errorf("%s: %s: what would Grafana put in?", q.panel, q.expr)
		}
		r := p.query(t, expr)
		switch {
		case r.Status != "success":
			t.Errorf("%s: %s: %s", q.panel, expr, r.Error)
		case len(r.Data.Result) == 0 && !troubles.MatchString(expr):
			t.Errorf("%s: %s: no answer", q.panel, expr)
		}
		for _, series := range r.Data.Result {
			if series.Value[1] == "NaN" {
				t.Errorf("%s: %s: %v is not a number", q.panel, expr, series.Metric)
			}
		}
	}
	// On a busy machine a scrape may come too late, for which alone none fires.
	var wrong []string
	harness.Await(t, func() string { return "all alerts are silent: " + strings.Join(wrong, ", ") }, func() bool {
		evaluated := 0
		wrong = nil
		for _, group := range p.api(t, "rules").Data.Groups {
			for _, rule := range group.Rules {
				evaluated++
				if rule.State == "firing" {
					t.Fatalf("%s is firing", rule.Name)
				}
				if rule.Health != "ok" || rule.State != "inactive" {
					wrong = append(wrong, fmt.Sprintf("%s is %s (%s) %s", rule.Name, rule.State, rule.Health, rule.LastError))
				}
			}
		}
		if want := len(alerts(t)); evaluated != want {
			t.Fatalf("Prometheus evaluates %d alerts, want %d", evaluated, want)
		}
		return len(wrong) == 0
	})
}

// daemon starts one that tails db for m, and listens.
func daemon(t *testing.T, db *servers.Database, m *servers.Memcached, listen string) {
	t.Helper()
	account(t, db)
	dir := t.TempDir()
	path := filepath.Join(dir, "mcsqueal.yaml")
	write(t, path, fmt.Sprintf(`
source: {url: "mysql://mcsqueal@%s"}
state_dir: %s
clusters: [{name: east, servers: [%q]}]
admin: {listen: %q}
`, db.Addr(), filepath.Join(dir, "state"), m.Addr(), listen))
	cmd := exec.Command(built.path(t, "mcsqueal"), "run", "--config", path)
	cmd.Env = []string{"MCSQUEAL_PASSWORD=" + password}
	start(t, cmd)
	harness.Await(t, "the daemon is ready", func() bool {
		status, _, err := harness.Get(t, "http://"+listen+"/readyz")
		return err == nil && status == http.StatusOK
	})
}

const password = "correct horse"

// account makes the daemon's.
func account(t *testing.T, db *servers.Database) {
	t.Helper()
	for _, statement := range []string{
		"CREATE USER mcsqueal IDENTIFIED BY '" + password + "'",
		"GRANT REPLICATION SLAVE, REPLICATION CLIENT, XA_RECOVER_ADMIN ON *.* TO mcsqueal",
	} {
		if _, err := db.DB().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts a command that is ended with the test.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		select {
		case <-p.Done():
		case <-time.After(harness.Patience):
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
		}
		_ = log.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Args[0]), read(t, log.Name()))
		}
	})
}

// free is an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))
}
