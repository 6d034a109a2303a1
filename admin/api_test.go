package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAKeyIsLookedUpAsItIsAskedFor(t *testing.T) {
	var asked atomic.Value
	url := server(t, ready, func(c *Config) {
		c.Recall = func(_ context.Context, q Query) (Memory, error) {
			asked.Store(q)
			if q.Key == "%" {
				return Memory{}, errors.New("a percent sign has two digits behind it")
			}
			return Memory{Found: []Invalidation{{Key: q.Key, Log: "bin.000001"}}, Whole: true}, nil
		}
	})
	for _, c := range []struct {
		query  string
		status int
		want   Query
		says   string
	}{
		{"key=user%3A1%2520", 200, Query{Key: "user:1%20", Most: 100}, `"key":"user:1%20"`},
		{"key=a&part=1&most=5", 200, Query{Key: "a", Part: true, Most: 5}, `"whole":true`},
		{"key=%3Cscript%3E", 200, Query{Key: "<script>", Most: 100}, `"key":"\u003cscript\u003e"`},
		{"", 400, Query{}, "which key?"},
		{"key=a&most=1000", 400, Query{}, "from 1 to 100"},
		{"key=%25", 503, Query{Key: "%", Most: 100}, "two digits"},
	} {
		asked.Store(Query{})
		answer, text := request(t, url+"/api/keys?"+c.query)
		if answer.StatusCode != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %q", c.query, answer.StatusCode, text)
		}
		if got, ok := asked.Load().(Query); !ok || got != c.want {
			t.Errorf("%s asks %+v, want %+v", c.query, got, c.want)
		}
	}
}

// Looking keys up takes a core, and others' work goes before: one at a time does.
func TestOneKeyIsLookedUpAtATime(t *testing.T) {
	var at, most atomic.Int32
	url := server(t, ready, func(c *Config) {
		c.Recall = func(context.Context, Query) (Memory, error) {
			n := at.Add(1)
			for {
				was := most.Load()
				if n <= was || most.CompareAndSwap(was, n) {
					break
				}
			}
			<-time.After(20 * time.Millisecond)
			at.Add(-1)
			return Memory{}, nil
		}
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			answer, text := request(t, url+"/api/keys?key=a")
			for strings.Contains(text, "ask again") { // a slow machine has used its patience up
				answer, text = request(t, url+"/api/keys?key=a")
			}
			if answer.StatusCode != http.StatusOK {
				t.Errorf("%d %q", answer.StatusCode, text)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
}

// However many look at the page, the daemon is asked for the last invalidations twice a
// second at most; and for its state once, by nobody who waits for it.
func TestManyWhoLookAskTheDaemonNoOftener(t *testing.T) {
	var latest atomic.Int32
	hang := make(chan struct{})
	var asked atomic.Int32
	url := server(t, ready, func(c *Config) {
		c.Latest = func(context.Context, int) ([]Invalidation, error) { latest.Add(1); return nil, nil }
		c.Status = func() Status {
			if asked.Add(1) > 1 {
				<-hang // a daemon that does not answer
			}
			return Status{Now: time.Now(), Version: "first"}
		}
	})
	defer close(hang)
	began := time.Now()
	for range 30 {
		if answer, _ := request(t, url+"/api/latest"); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status)
		}
		if answer, text := request(t, url+"/api/status"); answer.StatusCode != http.StatusOK || !strings.Contains(text, "first") {
			t.Fatal(answer.Status, text)
		}
	}
	if n, most := latest.Load(), int32(time.Since(began)/latestEvery)+1; n > most {
		t.Errorf("asked for the last invalidations %d times, want %d at most", n, most)
	}
}

func TestTheConfigurationIsShown(t *testing.T) {
	url := server(t, ready)
	if answer, text := request(t, url+"/api/config"); text != "state_dir: /s\n" || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%q, %s", text, answer.Header.Get("Content-Type"))
	}
}

// The last ten minutes are kept, and no more; of what was not there nothing is said.
func TestTheHistoryIsOfTheLastMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards what follows
		keys, clusters := uint64(0), []Cluster{{Name: "east"}}
		r := recorder{ask: func() Status {
			mu.Lock()
			defer mu.Unlock()
			return Status{Now: time.Now(), Read: Read{Keys: keys, Transactions: keys / 2}, Clusters: append([]Cluster(nil), clusters...)}
		}}
		ctx, stop := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		r.record()
		ended.Go(func() { r.run(ctx) })
		defer ended.Wait()
		defer stop()
		synctest.Wait()
		if h := r.history(); len(h.KeysPerSecond) != 0 {
			t.Errorf("of one moment there is %+v", h)
		}
		for i := range 700 {
			mu.Lock()
			keys += 100
			clusters[0].Deleted += 30
			clusters[0].NotFound += 20
			clusters[0].LagSeconds = float64(i)
			if i == 690 {
				clusters = append(clusters, Cluster{Name: "west"})
			}
			mu.Unlock()
			time.Sleep(every)
			synctest.Wait()
		}
		s, h := r.status(), r.history()
		if s.Read.KeysPerSecond != 100 || s.Read.TransactionsPerSecond != 50 || s.Clusters[0].DeletesPerSecond != 50 {
			t.Errorf("rates %v, %v, %v", s.Read.KeysPerSecond, s.Read.TransactionsPerSecond, s.Clusters[0].DeletesPerSecond)
		}
		if len(h.KeysPerSecond) != kept || h.KeysPerSecond[kept-1] != 100 || h.Clusters[0].LagSeconds[kept-1] != 699 || h.Clusters[0].LagSeconds[0] != 100 {
			t.Errorf("%d values, the last %v; lag from %v to %v", len(h.KeysPerSecond), h.KeysPerSecond[kept-1], h.Clusters[0].LagSeconds[0], h.Clusters[0].LagSeconds[kept-1])
		}
		west := h.Clusters[1].LagSeconds
		if len(west) != kept || west[0] != unknown || west[kept-1] != 0 {
			t.Errorf("of the newer cluster from %v to %v", west[0], west[len(west)-1])
		}
		// A daemon whose counts begin anew is not faster than light.
		mu.Lock()
		keys = 7
		clusters[0].Deleted = 0
		mu.Unlock()
		time.Sleep(every)
		synctest.Wait()
		if s := r.status(); s.Read.KeysPerSecond != 0 || s.Clusters[0].DeletesPerSecond != 0 {
			t.Errorf("rates %v, %v", s.Read.KeysPerSecond, s.Clusters[0].DeletesPerSecond)
		}
	})
}

// What the daemon says is what whoever asks is told.
func TestTheStatusIsOneDocument(t *testing.T) {
	want := Status{
		Now: time.Unix(1, 0).UTC(), Version: "v", Started: time.Unix(0, 0).UTC(), Problems: []string{"p"},
		Clusters: []Cluster{{Name: "east", State: "gap", Connections: []Connection{{Kind: "router", Address: "a:1"}}, Advice: []Advice{{Level: "error", What: "w", Do: "d"}}}},
	}
	url := server(t, ready, func(c *Config) { c.Status = func() Status { return want } })
	var got Status
	_, text := request(t, url+"/api/status")
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
