package deploy

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/mcsqueal/mcsqueal/config"
	"github.com/mcsqueal/mcsqueal/integration/tools"
)

const chart = "deploy/helm/mcsqueal"

// Values that a user would set.
const (
	fewest = `
config:
  source: {url: mysql://mcsqueal@mysql:3307}
  clusters: [{name: main, servers: [memcached-0:11211, memcached-1:11212]}]
`
	most = `
config:
  source: {urls: [mysql://mcsqueal@db1, mysql://mcsqueal@db2], tls: {mode: verify, ca: /etc/mcsqueal/tls/ca.crt}}
  rules: [{table: shop.users, keys: ["user:{id}"]}]
  on_gap: flush
  clusters: [{name: east, routers: [mcrouter:5000], flush: [m:11211]}, {name: west, routers: ["/run/mcrouter/s"], flush: [m:11211]}]
  log: {format: json}
  admin: {tls: {cert: /etc/mcsqueal/tls/tls.crt, key: /etc/mcsqueal/tls/tls.key}}
password: {existingSecret: mcsqueal, key: source}
adminToken: {existingSecret: mcsqueal, key: admin}
replicas: 2
image: {tag: v1.2.3}
imagePullSecrets: [{name: registry}]
extraArgs: [--log-level=debug]
extraEnv: [{name: REGION, value: east}]
extraVolumes: [{name: tls, secret: {secretName: tls}}]
extraVolumeMounts: [{name: tls, mountPath: /etc/mcsqueal/tls, readOnly: true}]
persistence: {storageClass: fast, size: 2Gi}
serviceAccount: {annotations: {a: b}}
podAnnotations: {c: d}
podLabels: {e: f}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: db, operator: Exists}]
affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app.kubernetes.io/name: mcsqueal}}}]}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
priorityClassName: high
serviceMonitor: {enabled: true, labels: {release: prometheus}, tlsConfig: {ca: {secret: {name: ca, key: ca.pem}}, serverName: mcsqueal.example}}
prometheusRule: {enabled: true}
dashboard: {enabled: true}
networkPolicy:
  ingressFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  egressTo: [{ipBlock: {cidr: 10.0.0.0/8}}]
  extraEgress: [{ports: [{port: 443, protocol: TCP}]}]
`
	least = fewest + `
persistence: {enabled: false}
serviceAccount: {create: false}
podDisruptionBudget: {enabled: false}
networkPolicy: {enabled: false}
`
)

// helm runs it over the chart with some values.
func helm(t *testing.T, values string, args ...string) (out string, status int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	write(t, path, values)
	cmd, err := tools.Go(t.Context(), "helm", append(args, "--values", path)...)
	need(t, "helm", err)
	out, status = outcome(t, cmd, nil)
	// It says that the alerts and the dashboard are links to where they are.
	return regexp.MustCompile(`(?m)^walk\.go.*\n`).ReplaceAllString(out, ""), status
}

// rendered are the chart's manifests.
func rendered(t *testing.T, values, version string) string {
	t.Helper()
	out, status := helm(t, values, "template", "shop", chart, "--namespace", "caches", "--kube-version", version)
	if status != 0 {
		t.Fatalf("helm template: exit status %d:\n%s", status, out)
	}
	return out
}

func TestHelmAcceptsTheChart(t *testing.T) {
	for name, values := range map[string]string{"nothing": "", "fewest": fewest, "most": most, "least": least} {
		if out, status := helm(t, values, "lint", "--strict", chart); status != 0 {
			t.Errorf("%s: helm lint: exit status %d:\n%s", name, status, out)
		}
	}
}

func TestKubernetesAcceptsWhatTheChartMakes(t *testing.T) {
	schemas, err := tools.Schemas(t.Context())
	need(t, "Kubernetes' schemas", err)
	own, err := filepath.Abs("testdata/monitoring")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		values string
		kinds  int
	}{"fewest": {fewest, 6}, "most": {most, 9}, "least": {least, 3}} {
		for _, version := range tools.Versions {
			path := filepath.Join(t.TempDir(), "manifests.yaml")
			write(t, path, rendered(t, c.values, version))
			cmd, err := tools.Go(t.Context(), "kubeconform", "-strict", "-summary", "-kubernetes-version", version,
				"-schema-location", schemas, "-schema-location", own+"/{{.ResourceKind}}{{.KindSuffix}}.json", path)
			need(t, "kubeconform", err)
			out := said(t, cmd, nil)
			if want := fmt.Sprintf("%d resources found", c.kinds); !strings.Contains(out, want) || !strings.Contains(out, "Skipped: 0") {
				t.Errorf("%s on %s: want %s, none skipped:\n%s", name, version, want, out)
			}
		}
	}
}

// object is a manifest.
type object struct {
	Kind string
	Data map[string]string
	Spec struct {
		Template struct {
			Spec struct {
				SecurityContext map[string]any `yaml:"securityContext"`
				Containers      []container
			}
		}
		Egress []struct {
			Ports []struct {
				Port any
			}
		}
		Groups []any
	}
}

type container struct {
	Args            []string
	SecurityContext map[string]any `yaml:"securityContext"`
	StartupProbe    probe          `yaml:"startupProbe"`
	LivenessProbe   probe          `yaml:"livenessProbe"`
	ReadinessProbe  probe          `yaml:"readinessProbe"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// objects are the manifests by kind and name's end.
func objects(t *testing.T, values string) map[string]object {
	t.Helper()
	all := make(map[string]object)
	for doc := range strings.SplitSeq(rendered(t, values, tools.Versions[0]), "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if _, ok := o.Data["mcsqueal.json"]; ok {
			o.Kind = "Dashboard"
		}
		all[o.Kind] = o
	}
	return all
}

// The daemon must read what the chart writes for it.
func TestTheChartsConfigurationIsTheDaemons(t *testing.T) {
	for name, values := range map[string]string{"fewest": fewest, "most": most} {
		all := objects(t, values)
		path := filepath.Join(t.TempDir(), "mcsqueal.yaml")
		write(t, path, all["ConfigMap"].Data["mcsqueal.yaml"])
		c, err := config.Load(path, func(string) string { return "" })
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			t.Errorf("%s: %v in\n%s", name, err, read(t, path))
			continue
		}
		if c.StateDir != "/var/lib/mcsqueal" || !strings.HasSuffix(c.Admin.Listen, ":9470") || strings.HasPrefix(c.Admin.Listen, "127.") {
			t.Errorf("%s: state_dir %s, admin.listen %s", name, c.StateDir, c.Admin.Listen)
		}
	}
}

// A listener with a certificate of its own is known to Prometheus by what the values say.
func TestPrometheusKnowsTheListenersCertificate(t *testing.T) {
	out := rendered(t, most, tools.Versions[0])
	if want := "      tlsConfig:\n        ca:\n          secret:\n            key: ca.pem\n            name: ca\n        serverName: mcsqueal.example\n"; !strings.Contains(out, want) {
		t.Errorf("the monitor lacks\n%s in\n%s", want, out)
	}
}

func TestThePodHasNoMorePrivilegesThanItNeeds(t *testing.T) {
	pod := objects(t, most)["StatefulSet"].Spec.Template.Spec
	if pod.SecurityContext["runAsNonRoot"] != true || fmt.Sprint(pod.SecurityContext["runAsUser"]) != "65532" {
		t.Errorf("it runs as %v", pod.SecurityContext)
	}
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	c := pod.Containers[0]
	if c.SecurityContext["readOnlyRootFilesystem"] != true || c.SecurityContext["allowPrivilegeEscalation"] != false ||
		fmt.Sprint(c.SecurityContext["capabilities"]) != "map[drop:[ALL]]" {
		t.Errorf("the container may %v", c.SecurityContext)
	}
	for path, p := range map[string]probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if p.HTTPGet.Path != path || p.HTTPGet.Port != "http" {
			t.Errorf("a probe asks %+v, want %s", p.HTTPGet, path)
		}
	}
}

// A policy that lacks a port which the configuration names would cut the daemon off.
func TestTheNetworkPolicyLetsTheDaemonToWhatItsConfigurationNames(t *testing.T) {
	for name, c := range map[string]struct {
		values string
		want   []string
	}{
		"fewest": {fewest, []string{"11211", "11212", "3307", "53", "53"}},
		"most":   {most, []string{"11211", "3306", "443", "5000", "53", "53"}},
	} {
		var got []string
		for _, rule := range objects(t, c.values)["NetworkPolicy"].Spec.Egress {
			for _, p := range rule.Ports {
				got = append(got, fmt.Sprint(p.Port))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: out to ports %v, want %v", name, got, c.want)
		}
	}
}

func TestAMistakeInTheValuesIsRefused(t *testing.T) {
	for mistake, want := range map[string]string{
		"replicsa: 2":                           "replicsa",
		"replicas: two":                         "replicas",
		"service: {port: 99999}":                "port",
		"persistence: {enabled: maybe}":         "enabled",
		"config: {clusters: []}":                "config.source is needed",
		"config: {source: {url: mysql://m@db}}": "config.clusters is needed",
	} {
		values := fewest + mistake
		if strings.HasPrefix(mistake, "config:") {
			values = mistake
		}
		out, status := helm(t, values, "template", "shop", chart, "--kube-version", tools.Versions[0])
		if status == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit status %d, want one with %q:\n%s", mistake, status, want, out)
		}
	}
}

// What can be set is what the schema knows, and what a template uses.
func TestEveryValueHasASchemaAndAUse(t *testing.T) {
	text := read(t, "helm/mcsqueal/values.yaml")
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]any
	}
	if err := json.Unmarshal([]byte(read(t, "helm/mcsqueal/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	for name := range values {
		if _, ok := schema.Properties[name]; !ok {
			t.Errorf("values.schema.json lacks %s", name)
		}
	}
	for name := range schema.Properties {
		if _, ok := values[name]; !ok && name != "global" {
			t.Errorf("values.yaml lacks %s", name)
		}
	}
	used := regexp.MustCompile(`\.Values\.([a-zA-Z]+)`)
	templates, err := filepath.Glob("helm/mcsqueal/templates/*")
	if err != nil {
		t.Fatal(err)
	}
	uses := make(map[string]bool)
	for _, path := range templates {
		for _, m := range used.FindAllStringSubmatch(read(t, path), -1) {
			uses[m[1]] = true
		}
	}
	for name := range values {
		if !uses[name] {
			t.Errorf("no template uses %s", name)
		}
	}
	for name := range uses {
		if _, ok := values[name]; !ok {
			t.Errorf("a template uses %s, which values.yaml lacks", name)
		}
	}
}
