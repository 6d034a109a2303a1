package admin

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcsqueal/mcsqueal/integration/browser"
)

// hostile are keys that try to be more than text.
var hostile = []string{
	`<script>document.title='mine'</script>`, `<img/src=x/onerror=document.title='mine'>`, `"><svg/onload=document.title='mine'>`,
	`javascript:document.title='mine'`, `{{constructor.constructor('document.title=1')()}}`, "\u202euser:1", `'-document.title-'`,
}

// show is a daemon that has something of everything to show.
func show(c *Config) {
	started := time.Now().Add(-3 * time.Hour)
	n := 0
	c.Ready = func() error { return nil }
	c.Status = func() Status {
		n++
		now := time.Now()
		return Status{
			Now: now, Version: "mcsqueal 1.2.3", Started: started, Ready: false, Problems: []string{"cluster west is catching up"},
			Source: Source{Address: "db1.example:3306", Version: "9.7.4", Tailing: true, Heard: now, NewestCommit: now},
			Read:   Read{Transactions: uint64(n * 100), Keys: uint64(n * 240), CommitToRead: Delay{9, .0002, .001}, ReadToVisible: Delay{9, .0003, .002}},
			Log:    Log{UsedBytes: 3 << 20, CapacityBytes: 56 << 20, CatchUp: 1},
			Clusters: []Cluster{
				{Name: "east", State: "in_step", Position: "5a0b0000-0000-4000-8000-000000000001:1-28441, bin.000004:1284012", Deleted: uint64(n * 200), NotFound: uint64(n * 40), InFlight: 12,
					CommitToAcknowledged: Delay{9, .0009, .004}, Connections: []Connection{{Kind: "router", Address: "10.0.0.1:11211", Connected: started, Version: "1.6.45", Protocol: "meta"}}},
				{Name: "west", State: "catching_up", LagSeconds: 340 - float64(n), Position: "5a0b0000-0000-4000-8000-000000000001:1-21003", Deleted: uint64(n * 900),
					Connections: []Connection{{Kind: "server", Address: "10.1.0.1:11211", Connected: started, Version: "1.6.18", Protocol: "text"}, {Kind: "server", Address: "10.1.0.2:11211", Error: "dial tcp 10.1.0.2:11211: connection refused", ErrorAt: now}},
					Refused:     2, RefusedKeys: []Trouble{{hostile[0], "SERVER_ERROR out of memory", now}, {"user:2", hostile[1], now}},
					Advice: []Advice{{"info", "It was behind, and catches up on a reading of the log of its own.", "Nothing; it joins the others when it has caught up."}, {"warning", "2 keys are refused for now, the last because: " + hostile[1], "Nothing is lost: they are tried again until they are taken."}, {"error", "1 of its 2 servers cannot be used: connection refused", "Bring it back, or take it out of servers and reload."}}},
			},
		}
	}
	inv := func(i int, key string, at time.Time) Invalidation {
		return Invalidation{
			Key: key, Cause: "tag", Schema: "shop", Table: "users", GTID: fmt.Sprintf("5a0b0000-0000-4000-8000-000000000001:%d", i), Log: "bin.000004", Pos: uint64(i * 300), Time: at, Read: at,
			Delivered: []Delivered{{Cluster: "east", State: "acknowledged", At: at.Add(1200 * time.Microsecond)}, {Cluster: "west", State: "waiting"}},
		}
	}
	c.Latest = func(context.Context, int) ([]Invalidation, error) {
		var all []Invalidation
		for i, key := range append([]string{"user:1", "user:1:friends"}, hostile...) {
			all = append(all, inv(28441-i, key, time.Now().Add(-time.Duration(i)*time.Second)))
		}
		return all, nil
	}
	c.Recall = func(_ context.Context, q Query) (Memory, error) {
		m := Memory{Since: time.Now().Add(-42 * time.Minute), Log: "bin.000003", Pos: 99120}
		if strings.HasPrefix(q.Key, "user:") || strings.Contains(q.Key, "<") {
			m.Found = []Invalidation{inv(28000, q.Key, time.Now().Add(-time.Minute))}
			m.Found[0].Delivered[1] = Delivered{Cluster: "west", State: "refused", Reason: hostile[1], At: time.Now()}
		}
		return m, nil
	}
	c.Configuration = func() (string, error) { return "state_dir: /var/lib/mcsqueal\n# " + hostile[0] + "\n", nil }
}

// lived has a daemon that has been running for ten minutes: one cluster in step, save
// once, and one that was away.
func lived(t *testing.T) (url string) {
	t.Helper()
	ten := time.Now().Add(-kept * every)
	change := func(c *Config) {
		show(c)
		var mu sync.Mutex // guards n, and show's own
		status, n := c.Status, 0
		c.Status = func() Status {
			mu.Lock()
			defer mu.Unlock()
			s := status()
			if n++; n > kept+1 {
				s.Clusters[1].LagSeconds = 338
				return s
			}
			s.Now = ten.Add(time.Duration(n-1) * every)
			s.Clusters[0].LagSeconds, s.Clusters[1].LagSeconds = 0, 0
			if n > 200 && n < 230 {
				s.Clusters[0].LagSeconds = float64(n-200) / 6
			}
			if n > 250 {
				s.Clusters[1].LagSeconds = min(338, float64(n-250))
			}
			return s
		}
	}
	s := start(t, ready, change)
	for range kept {
		s.recorder.record()
	}
	return "http://" + s.Addr()
}

// Wide and narrow, light and dark: nothing is cut off, nothing is outside the window, and
// everything is there.
func TestThePageShowsWhatTheDaemonIsAt(t *testing.T) {
	url := lived(t)
	tab := browser.Open(t)
	for _, scheme := range []string{"light", "dark"} {
		for name, width := range map[string]int64{"wide": 1280, "narrow": 390} {
			tab.Look(width, scheme)
			tab.Do(chromedp.Navigate(url))
			tab.Shows("#verdict", "not in step")
			tab.Shows("#problems", "cluster west is catching up")
			tab.Shows("#way", "db1.example:3306")
			tab.Shows("#clusters", "10.1.0.2:11211")
			tab.Shows("#clusters", "Bring it back, or take it out of servers and reload.")
			tab.Shows("#lag-legend", "west now 5 min")
			tab.Shows("#latest", "user:1:friends")
			tab.Shows("#troubled", "SERVER_ERROR out of memory")
			if overflow := browser.Get(tab, chromedp.Evaluate[int]("document.documentElement.scrollWidth - innerWidth")); overflow > 0 {
				t.Errorf("%s: the page is %d pixels wider than its window", name, overflow)
			}
			if paths := browser.Get(tab, chromedp.Evaluate[int]("document.querySelectorAll('#lag path').length")); paths != 2 {
				t.Errorf("the picture has %d lines, want one for each cluster", paths)
			}
			tab.Screenshot(scheme + "-" + name)
		}
	}
}

// A key may be whatever bytes somebody wrote. It is text wherever it is shown.
func TestAKeyIsTextWhateverIsInIt(t *testing.T) {
	url := server(t, ready, show)
	tab := browser.Open(t)
	tab.Do(chromedp.Navigate(url))
	for _, key := range hostile {
		tab.Shows("#latest", key)
	}
	tab.Shows("#troubled", hostile[0])
	tab.Shows("#clusters", hostile[1])
	for _, key := range hostile[:2] {
		tab.Do(chromedp.Clear(chromedp.CSS("#key")), chromedp.SendKeys(chromedp.CSS("#key"), key+kb.Enter))
		tab.Shows("#found", key)
	}
	tab.Do(chromedp.Click(chromedp.CSS("#config summary")))
	tab.Shows("#config-text", hostile[0])
	title := browser.Get(tab, chromedp.Title())
	elements := browser.Get(tab, chromedp.Evaluate[int]("document.querySelectorAll('script:not([src]), img, main svg:not(#lag):not(.legend svg)').length"))
	if strings.Contains(title, "mine") || title != "! mcsqueal" || elements != 0 {
		t.Errorf("the title is %q, and there are %d elements that nobody put there", title, elements)
	}
}

// Everything is to be had by keyboard, and has a name for who does not see it.
func TestThePageIsUsedByKeyboard(t *testing.T) {
	url := server(t, ready, show)
	tab := browser.Open(t)
	tab.Do(chromedp.Navigate(url))
	tab.Shows("#latest", "user:1")
	// The slash leads to the search, which answers to Enter.
	tab.Do(chromedp.KeyEvent("/"))
	if at := browser.Get(tab, chromedp.Evaluate[string]("document.activeElement.id")); at != "key" {
		t.Errorf("the slash leads to %q", at)
	}
	// What is typed here comes in pieces, of which a browser would have kept the slash's last.
	tab.Do(chromedp.KeyEvent(kb.Backspace), chromedp.KeyEvent("user:7"), chromedp.KeyEvent(kb.Enter))
	tab.Shows("#found", "user:7")
	tab.Shows("#found", "1.2 ms after the commit")
	tab.Shows("#found", "It is on its way, or was held up")
	// With Tab from the top every control comes, in the order of the page.
	tab.Do(chromedp.Navigate(url))
	tab.Shows("#latest", "user:1")
	var order []string
	for range 12 {
		tab.Do(chromedp.KeyEvent(kb.Tab))
		order = append(order, browser.Get(tab, chromedp.Evaluate[string]("(document.activeElement.id || document.activeElement.className || document.activeElement.innerText || document.activeElement.tagName).trim()")))
	}
	got := strings.Join(order, " ")
	if want := "skip key part Look it up pause"; !strings.HasPrefix(got, want) {
		t.Errorf("Tab leads to %s, want %s", got, want)
	}
	// Space presses the button that holds the list still.
	tab.Do(chromedp.Focus(chromedp.CSS("#pause")), chromedp.KeyEvent(" "))
	if pressed := browser.Get(tab, chromedp.Evaluate[string]("document.querySelector('#pause').getAttribute('aria-pressed')")); pressed != "true" {
		t.Errorf("the button that is pressed says %q", pressed)
	}
	nameless := browser.Get(tab, chromedp.Evaluate[[]string](`[...document.querySelectorAll("input, button, svg, table, section, form")].filter((e) =>
		!(e.labels?.length || e.innerText?.trim() || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.getAttribute("aria-hidden") || e.closest("[hidden]")))
		.map((e) => e.outerHTML.slice(0, 80))`))
	if len(nameless) > 0 {
		t.Errorf("these have no name: %q", nameless)
	}
}

// It never says no where it only does not remember.
func TestWhatIsNotRememberedIsNotDenied(t *testing.T) {
	url := server(t, ready, show)
	tab := browser.Open(t)
	tab.Do(chromedp.Navigate(url))
	tab.Shows("#latest", "user:1")
	tab.Do(chromedp.SendKeys(chromedp.CSS("#key"), "order:9"+kb.Enter))
	tab.Shows("#found", "Not as far as is remembered here")
	tab.Shows("#found", "no proof that it never was")
	tab.Shows("#found", "bin.000003:99120")
	tab.Shows("#found", "nothing is remembered")
}

func TestThePageAsksForTheToken(t *testing.T) {
	url := server(t, ready, show, func(c *Config) { c.Token = "let-me-in" })
	tab := browser.Open(t, "status of 401")
	tab.Do(chromedp.Navigate(url))
	tab.Shows("#verdict", "a token is asked for")
	tab.Do(chromedp.SendKeys(chromedp.CSS("#token"), "let-me-out"+kb.Enter))
	tab.Shows("#token-wrong", "That is not the token.")
	tab.Do(chromedp.SendKeys(chromedp.CSS("#token"), "let-me-in"+kb.Enter))
	tab.Shows("#clusters", "east")
	tab.Screenshot("token-shown")
}

// A page whose daemon is gone says so, instead of showing what was for what is.
func TestAPageWithoutADaemonSaysSo(t *testing.T) {
	cfg := Config{Listen: "127.0.0.1:0", Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)}
	show(&cfg)
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	tab := browser.Open(t, "Failed to load resource")
	tab.Do(chromedp.Navigate("http://" + s.Addr()))
	tab.Shows("#verdict", "not in step")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tab.Shows("#verdict", "no answer since")
}
