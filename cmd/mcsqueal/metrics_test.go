package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/pipeline"
)

// told is a Registerer that notes what is registered.
type told map[string]string // labels by name

var described = regexp.MustCompile(`fqName: "(mcsqueal_[a-z_]+)".*variableLabels: \{([a-z,]*)\}`)

func (r told) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	for d := range descs {
		if m := described.FindStringSubmatch(d.String()); m != nil {
			r[m[1]] = m[2]
		}
	}
	return nil
}

func (r told) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = r.Register(c)
	}
}

func (r told) Unregister(prometheus.Collector) bool { return false }

// The names and labels are what dashboards and alerts are written by.
func TestEveryMetricIsDocumented(t *testing.T) {
	got := make(told)
	newDaemonMetrics(got)
	got.MustRegister(pipeline.Lags{})
	delete(got, "mcsqueal_build_info") // its labels are no variables
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	want := make(told)
	for _, m := range regexp.MustCompile(`(?m)^\| `+"`(mcsqueal_[a-z_]+)(?:\\{([a-z,]*)\\})?`").FindAllStringSubmatch(string(doc), -1) {
		want[m[1]] = m[2]
	}
	delete(want, "mcsqueal_build_info")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/metrics.md has what is behind -, the command what is behind +:\n%s", diff)
	}
	for _, word := range strings.FieldsFunc(string(doc), func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		name := strings.TrimSuffix(strings.TrimSuffix(word, "_bucket"), "_count")
		if _, ok := got[name]; strings.HasPrefix(word, "mcsqueal_") && !ok && name != "mcsqueal_build_info" {
			t.Errorf("docs/metrics.md speaks of %s, which there is not", word)
		}
	}
}
