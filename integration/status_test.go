package integration

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/mcsqueal/mcsqueal/admin"
	"github.com/mcsqueal/mcsqueal/integration/authority"
	"github.com/mcsqueal/mcsqueal/integration/browser"
	"github.com/mcsqueal/mcsqueal/integration/harness"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// adminAddress is where a daemon's listener is.
func adminAddress(t *testing.T, p *harness.Process) string {
	t.Helper()
	const serving = `msg="serving metrics and health" listen=`
	p.Says(t, serving)
	_, address, _ := strings.Cut(p.Said(serving)[0], serving)
	address, _, _ = strings.Cut(address, " ")
	return address
}

// mustPrint holds the command to its success and to output that matches.
func mustPrint(t *testing.T, p *harness.Process, patterns ...string) {
	t.Helper()
	if status := p.Wait(t); status != 0 {
		t.Errorf("exit status %d:\n%s", status, harness.Tail(p.Stderr.String()))
	}
	mustShow(t, p, patterns...)
}

// mustShow holds what it has printed to patterns, however it has ended.
func mustShow(t *testing.T, p *harness.Process, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(p.Stdout.String()) {
			t.Errorf("it prints no %s:\n%s", pattern, p.Stdout.String())
		}
	}
}

// Was this key deleted, when, by which transaction, and acknowledged by whom? The command
// and the page say the same, on both servers.
func TestStatusTellsWhatBecameOfAKey(t *testing.T) {
	t.Parallel()
	// On a server of its own, where nobody else's keys are the latest.
	harness.EachOwn(t, servers.Config{}, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:",
			cluster("east", "servers", m.Addr()), fmt.Sprintf("  - {name: few, servers: [%s], match: '^few:'}", m.Addr()))
		daemon := cfg.Daemon(t, "--admin-listen", "127.0.0.1:0")
		s := db.Session(t)
		s.Settle(t, m)
		key := db.Key("<b>user:1")
		m.Fill(t, key)
		s.Commit(t, key)
		m.AwaitGone(t, key)
		at := adminAddress(t, daemon)
		harness.Await(t, "the key is acknowledged", func() bool {
			return strings.Contains(harness.Call{Args: []string{"status", "--admin", at, "--key", key}}.Run(t).Stdout.String(), "east: acknowledged at")
		})
		mustPrint(t, harness.Mcsqueal(t, "status", "--admin", at, "--key", key),
			regexp.QuoteMeta(key)+`  tag on `+db.Schema+`\.settled  bin\.\d+:\d+  [0-9a-f-]+`,
			`(?m)^    east: acknowledged at [-0-9]+ [0-9:.]+, .* after the commit$`, `(?m)^    few: does not want this key$`,
			`(?m)^It remembers back to .* \(bin\.\d+:\d+\)\.$`)
		mustPrint(t, harness.Mcsqueal(t, "status", "--admin", at, "--key", db.Key("never")),
			`never: not as far as the daemon remembers, which is no proof that it never was\.`, `It remembers back to`, `mcsqueal replay`)
		harness.Mcsqueal(t, "status", "--admin", at, "--key", "bad%2").MustEnd(t, 1, "percent sign")
		// What it says is a second old at most.
		harness.Await(t, "all is well", func() bool { return harness.Mcsqueal(t, "status", "--admin", at).Status() == 0 })
		var status admin.Status
		if err := json.Unmarshal([]byte(harness.Mcsqueal(t, "status", "--admin", at, "--json").Stdout.String()), &status); err != nil || len(status.Clusters) != 2 || !status.Source.Tailing {
			t.Errorf("as JSON it says %+v, %v", status, err)
		}
		watching := harness.Call{Args: []string{"status", "--admin", at, "--watch"}}.Start(t)
		harness.Await(t, "it is told twice", func() bool { return strings.Count(watching.Stdout.String(), "in step  mcsqueal") >= 2 })
		watching.Stop(t)
		harness.Mcsqueal(t, "status", "--admin", at, "--watch", "--key", key).MustEnd(t, 2, "--watch")
		harness.Mcsqueal(t, "status", "--admin", "https://"+at).MustEnd(t, 1, "it does not speak TLS: write http://")
		harness.Mcsqueal(t, "status", "--admin", "ftp://"+at).MustEnd(t, 2, "HOST:PORT")
		harness.Mcsqueal(t, "status", "--admin", "127.0.0.1:1").MustEnd(t, 1, "does it run", "127.0.0.1:1")

		tab := browser.Open(t)
		tab.Do(chromedp.Navigate("http://" + at))
		tab.Shows("#verdict", "in step")
		tab.Shows("#latest", key)
		tab.Do(chromedp.SendKeys(chromedp.CSS("#key"), key+kb.Enter))
		tab.Shows("#found", "Yes: 1 invalidation")
		tab.Shows("#found", key)
		tab.Shows("#found", "after the commit")
		tab.Shows("#found", "does not want this key")
		tab.Do(chromedp.Click(chromedp.CSS("#config summary")))
		tab.Shows("#config-text", `match: "^few:"`)
		if text := tab.Text("#config-text"); strings.Contains(text, harness.Password) {
			t.Error("the password is in the configuration that is shown")
		}
		tab.Screenshot("daemon-" + db.Kind().Name())
		tab.Close()
		daemon.Stop(t)
	})
}

// What is wrong with a cluster is said with what to do about it: in the table, in the
// document, and on the page. And a key that a cache refuses is not said to be gone.
func TestStatusSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		backend, away := harness.NewCache(t), harness.NewCache(t)
		router := servers.Proxy(t, servers.ProxyConfig{Backends: []string{backend.Addr()}})
		// Of so many others' keys as are refused not all would be remembered.
		own := "match: '^" + db.Schema + ":'"
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", fmt.Sprintf("  - {name: east, routers: [%s], %s}", router.Addr(), own), fmt.Sprintf("  - {name: west, servers: [%s], %s}", away.Addr(), own))
		daemon := cfg.Daemon(t, "--admin-listen", "127.0.0.1:0")
		at := adminAddress(t, daemon)
		s := db.Session(t)
		s.Settle(t, backend)
		s.Settle(t, away)
		harness.Await(t, "all is well", func() bool {
			out := harness.Call{Args: []string{"status", "--admin", at}}.Run(t).Stdout.String()
			return strings.HasPrefix(out, "in step") && regexp.MustCompile(`(?m)^east +in step +0 s `).MatchString(out) && regexp.MustCompile(`(?m)^west +in step +0 s `).MatchString(out)
		})
		if err := backend.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := away.Kill(); err != nil {
			t.Fatal(err)
		}
		key := db.Key("refused")
		s.Commit(t, key)
		var status admin.Status
		harness.Await(t, "both clusters have their advice", func() bool {
			_, text := get(t, daemon, "/api/status")
			if err := json.Unmarshal([]byte(text), &status); err != nil {
				t.Fatal(err)
			}
			return len(status.Clusters) == 2 && status.Clusters[0].Refused > 0 && len(status.Clusters[0].Advice) > 0 && len(status.Clusters[1].Advice) > 0 && status.Clusters[1].LagSeconds > 0
		})
		east, west := status.Clusters[0], status.Clusters[1]
		if len(east.RefusedKeys) == 0 || east.RefusedKeys[0].Reason == "" {
			t.Errorf("refused keys %+v", east.RefusedKeys)
		}
		if a := west.Advice[0]; a.Level != "error" || !strings.Contains(a.What, away.Addr()) || !strings.Contains(a.Do, "Bring it back") {
			t.Errorf("advice for west %+v", a)
		}
		p := harness.Mcsqueal(t, "status", "--admin", at)
		p.MustEnd(t, 1, "not all is well")
		mustShow(t, p, `^IN TROUBLE  mcsqueal`, `east: warning: \d+ keys? (is|are) refused for now`, `west: error: 1 of its 1 servers cannot be used`, `Nothing is lost`)
		mustPrint(t, harness.Mcsqueal(t, "status", "--admin", at, "--key", key), `east: refused for now, and tried again; last at`, `west: not acknowledged yet`)

		tab := browser.Open(t)
		tab.Do(chromedp.Navigate("http://" + at))
		tab.Shows("#verdict", "in trouble")
		tab.Shows("#clusters", "not connected")
		tab.Shows("#clusters", "Bring it back")
		tab.Shows("#troubled", key)
		tab.Do(chromedp.SendKeys(chromedp.CSS("#key"), key+kb.Enter))
		tab.Shows("#found", "It is on its way, or was held up")
		tab.Shows("#found", "refused for now, and tried again; last")
		tab.Screenshot("trouble-" + db.Kind().Name())

		if err := backend.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := away.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		harness.Await(t, "both have the key", func() bool {
			out := harness.Call{Args: []string{"status", "--admin", at, "--key", key}}.Run(t).Stdout.String()
			return strings.Contains(out, "east: acknowledged at") && strings.Contains(out, "west: acknowledged at")
		})
		tab.Do(chromedp.Click(chromedp.CSS("#find button")))
		tab.Shows("#found", "Yes: 1 invalidation")
		tab.Close()
		daemon.Stop(t)
	})
}

// certificate writes a certificate that vouches for itself, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	return certificateUntil(t, time.Now().Add(time.Hour))
}

func certificateUntil(t *testing.T, end time.Time) (cert, key string) {
	t.Helper()
	return authority.SelfSigned(t, "mcsqueal", &x509.Certificate{DNSNames: []string{"mcsqueal.example"}, NotAfter: end})
}

// With TLS and a token, who has the daemon's configuration is told, and nobody else; and
// the token is in no line of the log.
func TestStatusIsKeptFromStrangers(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cert, key := certificate(t)
		token := filepath.Join(t.TempDir(), "token")
		const secret = "correct-staple"
		if err := os.WriteFile(token, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		text, err := os.ReadFile(cfg.Path)
		if err != nil {
			t.Fatal(err)
		}
		with := strings.Replace(string(text), `admin: {listen: ""}`, fmt.Sprintf("admin: {listen: \"127.0.0.1:0\", tls: {cert: %s, key: %s}, token_file: %s}", cert, key, token), 1)
		if err := os.WriteFile(cfg.Path, []byte(with), 0o600); err != nil {
			t.Fatal(err)
		}
		daemon := cfg.Daemon(t)
		at := adminAddress(t, daemon)
		asked := []string{"status", "--admin", "https://" + at, "--ca", cert, "--server-name", "mcsqueal.example"}
		// It says so by its exit status, too.
		harness.Await(t, "all is well", func() bool {
			return harness.Call{Args: append(asked, "--token-file", token)}.Run(t).Status() == 0
		})
		mustPrint(t, harness.Call{Args: append(asked, "--token-file", token)}.Run(t), `(?m)^east `)
		mustPrint(t, harness.Call{Args: asked, Env: []string{"MCSQUEAL_ADMIN_TOKEN=" + secret}}.Run(t), `(?m)^east `)
		harness.Call{Args: asked}.Run(t).MustEnd(t, 1, "asks for a token", "MCSQUEAL_ADMIN_TOKEN", "--token-file")
		harness.Call{Args: asked, Env: []string{"MCSQUEAL_ADMIN_TOKEN=wrong"}}.Run(t).MustEnd(t, 1, "does not know this token")
		harness.Call{Args: []string{"status", "--admin", "https://" + at}}.Run(t).MustEnd(t, 1, "certificate", "with --ca the file of its authority")
		harness.Mcsqueal(t, "status", "--admin", at).MustEnd(t, 1, "speaks TLS: write https://")
		// The configuration alone has all of it, but for the port that was free.
		if err := os.WriteFile(cfg.Path, []byte(strings.Replace(with, "127.0.0.1:0", at, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		mustPrint(t, harness.Mcsqueal(t, "status", "--config", cfg.Path), `(?m)^east `)
		if strings.Contains(daemon.Stderr.String(), secret) || strings.Contains(daemon.Stderr.String(), "correct horse") {
			t.Error("a secret is in the log")
		}
		daemon.Stop(t)
		harness.Mcsqueal(t, "status", "--config", cfg.Path).MustEnd(t, 1, "does it run", at)
		if err := os.WriteFile(cfg.Path, []byte(strings.Replace(with, cert, cert+".gone", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		harness.Mcsqueal(t, "run", "--config", cfg.Path).MustEnd(t, 2, "admin certificate", ".gone")
	})
}

// Before a start it is said who may look, and whether the listener can prove who it is.
func TestCheckLooksAtTheListener(t *testing.T) {
	t.Parallel()
	db := harness.MySQL(t)
	cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", harness.NewCache(t).Addr()))
	must(t, check(t, cfg, "--admin-listen", "0.0.0.0:0"), "state_dir", "admin", "warn", "whoever reaches 0.0.0.0:0 sees keys", "admin.token_file")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, check(t, cfg, "--admin-listen", "0.0.0.0:0", "--admin-token-file", token), "state_dir", "admin", "warn", "everybody on this machine may read", "chmod o=")
	must(t, check(t, cfg, "--admin-listen", "127.0.0.1:0", "--admin-token-file", token+".gone"), "state_dir", "admin", "fail", "no such file", "admin.token_file")
	for want, end := range map[string]time.Time{"fail": time.Now().Add(-time.Minute), "warn": time.Now().Add(time.Hour), "ok": time.Now().Add(90 * 24 * time.Hour)} {
		cert, key := certificateUntil(t, end)
		mend := "renew it"
		if want == "ok" {
			mend = ""
		}
		must(t, check(t, cfg, "--admin-listen", "127.0.0.1:0", "--admin-tls-cert", cert, "--admin-tls-key", key), "state_dir", "admin_tls", want, end.UTC().Format(time.DateOnly), mend)
	}
	cert, _ := certificate(t)
	_, key := certificate(t)
	must(t, check(t, cfg, "--admin-listen", "127.0.0.1:0", "--admin-tls-cert", cert, "--admin-tls-key", key), "state_dir", "admin_tls", "fail", "private key does not match", "of one pair")
}

// Whoever looks, and however many, the way of the data does not wait for them.
func TestWhoLooksDelaysNobody(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, db *harness.Database) {
		m := harness.NewCache(t)
		cfg := harness.Configure(t, db.SourceURL(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.Daemon(t, "--admin-listen", "127.0.0.1:0")
		at := adminAddress(t, daemon)
		s := db.Session(t)
		s.Settle(t, m)
		done := make(chan struct{})
		var looked atomic.Int64
		var lookers sync.WaitGroup
		for range 4 {
			lookers.Go(func() {
				for {
					for _, path := range []string{"/api/status", "/api/latest", "/api/history", "/api/keys?key=x&part=1", "/metrics"} {
						select {
						case <-done:
							return
						default:
						}
						answer, err := http.Get("http://" + at + path)
						if err != nil {
							t.Error(err)
							return
						}
						_ = answer.Body.Close()
						if answer.StatusCode != http.StatusOK {
							t.Errorf("%s: %s", path, answer.Status)
						}
						looked.Add(1)
					}
				}
			})
		}
		// Until there was enough of both: how fast that is, is the machine's.
		for i := 0; i < 20 || looked.Load() < 100 && !t.Failed(); i++ {
			keys := db.Numbered(fmt.Sprintf("round%d", i), 200)
			m.Fill(t, keys...)
			s.Commit(t, keys...)
			m.AwaitGone(t, keys...)
		}
		close(done)
		lookers.Wait()
		daemon.Stop(t)
	})
}
