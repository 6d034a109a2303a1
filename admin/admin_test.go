package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/integration/goroutines"
)

func TestMain(m *testing.M) { os.Exit(goroutines.Verify(m)) }

// server starts one on a port of its own, closed with the test. change, if set, changes
// what is served.
func server(t *testing.T, ready func() error, change ...func(*Config)) (url string) {
	t.Helper()
	return "http://" + start(t, ready, change...).Addr()
}

func start(t *testing.T, ready func() error, change ...func(*Config)) *Server {
	t.Helper()
	r := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	r.MustRegister(c)
	c.Add(3)
	cfg := Config{
		Listen: "127.0.0.1:0", Metrics: r, Ready: ready, Logger: slog.New(slog.DiscardHandler),
		Status: func() Status { return Status{Now: time.Now(), Version: "mcsqueal test"} },
		Latest: func(context.Context, int) ([]Invalidation, error) { return nil, nil },
		Recall: func(_ context.Context, q Query) (Memory, error) {
			return Memory{Found: []Invalidation{{Key: q.Key}}}, nil
		},
		Configuration: func() (string, error) { return "state_dir: /s\n", nil },
	}
	for _, change := range change {
		change(&cfg)
	}
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	answer, body := send(t, method, url)
	return answer.StatusCode, body
}

func TestMetricsAndHealthAreServed(t *testing.T) {
	url := server(t, func() error { return nil })
	if status, body := ask(t, http.MethodGet, url+"/metrics"); status != http.StatusOK || !strings.Contains(body, "\nthings_total 3\n") {
		t.Errorf("/metrics: %d %q", status, body)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := ask(t, http.MethodGet, url+path); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

// What is not ready says why, and lives all the same.
func TestWhatIsNotReadySaysWhy(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	url := server(t, func() error {
		if broken.Load() {
			return errors.Join(errors.New("cluster east is catching up"), errors.New("cluster west waits"))
		}
		return nil
	})
	if status, body := ask(t, http.MethodGet, url+"/readyz"); status != http.StatusServiceUnavailable || body != "cluster east is catching up\ncluster west waits\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if status, _ := ask(t, http.MethodGet, url+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	broken.Store(false)
	if status, _ := ask(t, http.MethodGet, url+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz once it is mended: %d", status)
	}
}

func TestNothingElseIsServed(t *testing.T) {
	url := server(t, func() error { return nil })
	if status, _ := ask(t, http.MethodGet, url+"/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("/debug/pprof/: %d", status)
	}
	if status, _ := ask(t, http.MethodPost, url+"/metrics"); status != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: %d", status)
	}
}

func TestAPortThatIsTakenIsAnErrorThatNamesTheSetting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = Start(t.Context(), Config{Listen: l.Addr().String(), Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "admin.listen") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error %v, want one that names admin.listen and the address", err)
	}
}

// A server that has no status, as the cache's, still has metrics and health.
func TestMetricsAndHealthNeedNoStatus(t *testing.T) {
	url := server(t, nil, func(c *Config) { c.Status, c.Latest, c.Recall, c.Configuration = nil, nil, nil, nil })
	for path, want := range map[string]int{
		"/metrics": http.StatusOK, "/healthz": http.StatusOK, "/readyz": http.StatusOK,
		"/": http.StatusNotFound, "/api/status": http.StatusNotFound, "/api/latest": http.StatusNotFound,
	} {
		response, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, response.Status, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
