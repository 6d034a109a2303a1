package deploy

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/mcsqueal/mcsqueal/integration/tools"
)

// alert is one of prometheus/alerts.yaml.
type alert struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) == 0 {
		t.Fatal("no alerts")
	}
	return file.Groups[0].Rules
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	for _, args := range [][]string{
		{"check", "rules", "--lint-fatal", "prometheus/alerts.yaml"},
		{"test", "rules", "prometheus/alerts_test.yaml"},
	} {
		cmd, err := tools.Prometheus(t.Context(), "promtool", args...)
		need(t, "promtool", err)
		said(t, cmd, nil)
	}
}

// An alert is tried where it fires and where it does not.
func TestEveryAlertIsTried(t *testing.T) {
	text := read(t, "prometheus/alerts_test.yaml")
	for _, a := range alerts(t) {
		if !strings.Contains(text, "alertname: "+a.Alert+"\n        exp_alerts:\n") {
			t.Errorf("%s is never seen to fire", a.Alert)
		}
		if !strings.Contains(text, "alertname: "+a.Alert+", exp_alerts: []}") {
			t.Errorf("%s is never seen to be silent", a.Alert)
		}
	}
}

func TestEveryAlertHasARunbook(t *testing.T) {
	runbook := read(t, "../docs/operations.md")
	var known []string
	for _, a := range alerts(t) {
		known = append(known, a.Alert)
		if !strings.Contains(runbook, "\n### "+a.Alert+"\n") {
			t.Errorf("docs/operations.md does not say what to do about %s", a.Alert)
		}
		if want := "/docs/operations.md#" + strings.ToLower(a.Alert); !strings.HasSuffix(a.Annotations["runbook_url"], want) {
			t.Errorf("%s: its runbook is %s, want …%s", a.Alert, a.Annotations["runbook_url"], want)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || a.Labels["severity"] == "" {
			t.Errorf("%s lacks a summary, a description or a severity", a.Alert)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^### (Mcsqueal\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("docs/operations.md has %s, which is no alert", m[1])
		}
	}
}

// What is asked for is what docs/metrics.md has, and so the daemon.
func TestAlertsAndDashboardAskForMetricsThatThereAre(t *testing.T) {
	documented := read(t, "../docs/metrics.md")
	metric := regexp.MustCompile(`mcsqueal_[a-z_]+`)
	series := regexp.MustCompile(`_(bucket|sum|count)$`)
	ask := func(who, expr string) {
		for _, name := range metric.FindAllString(expr, -1) {
			if !strings.Contains(documented, "`"+name+"`") && !strings.Contains(documented, "`"+name+"{") &&
				!strings.Contains(documented, "`"+series.ReplaceAllString(name, "")) {
				t.Errorf("%s asks for %s, which docs/metrics.md lacks", who, name)
			}
		}
	}
	for _, a := range alerts(t) {
		ask(a.Alert, a.Expr)
	}
	for _, q := range queries(t) {
		ask(q.panel, q.expr)
	}
}
