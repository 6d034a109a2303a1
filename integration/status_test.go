package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
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
	"github.com/mcsqueal/mcsqueal/integration/browser"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// address is where a daemon's listener is.
func (p *process) address(t *testing.T) string {
	t.Helper()
	const serving = `msg="serving metrics and health" listen=`
	p.says(t, serving)
	_, address, _ := strings.Cut(p.said(serving)[0], serving)
	address, _, _ = strings.Cut(address, " ")
	return address
}

// prints holds the command to its success and to output that matches.
func (p *process) prints(t *testing.T, patterns ...string) {
	t.Helper()
	if status := p.wait(t); status != 0 {
		t.Errorf("exit status %d:\n%s", status, tail(p.stderr.String()))
	}
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(p.stdout.String()) {
			t.Errorf("it prints no %s:\n%s", pattern, p.stdout.String())
		}
	}
}

// Was this key deleted, when, by which transaction, and acknowledged by whom? The command
// and the page say the same, on both servers.
func TestStatusTellsWhatBecameOfAKey(t *testing.T) {
	t.Parallel()
	// On a server of its own, where nobody else's keys are the latest.
	eachOwn(t, servers.Config{}, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:",
			cluster("east", "servers", m.Addr()), fmt.Sprintf("  - {name: few, servers: [%s], match: '^few:'}", m.Addr()))
		daemon := cfg.daemon(t, "--admin-listen", "127.0.0.1:0")
		s := db.session(t)
		s.settle(t, m)
		key := db.key("<b>user:1")
		fill(t, m, key)
		s.commit(t, key)
		awaitGone(t, m, key)
		at := daemon.address(t)
		await(t, "the key is acknowledged", func() bool {
			return strings.Contains(call{args: []string{"status", "--admin", at, "--key", key}}.run(t).stdout.String(), "east: acknowledged at")
		})
		mcsqueal(t, "status", "--admin", at, "--key", key).prints(t,
			regexp.QuoteMeta(key)+`  tag on `+db.schema+`\.settled  bin\.\d+:\d+  [0-9a-f-]+`,
			`(?m)^    east: acknowledged at [-0-9]+ [0-9:.]+, .* after the commit$`, `(?m)^    few: does not want this key$`,
			`(?m)^It remembers back to .* \(bin\.\d+:\d+\)\.$`)
		mcsqueal(t, "status", "--admin", at, "--key", db.key("never")).prints(t,
			`never: not as far as the daemon remembers, which is no proof that it never was\.`, `It remembers back to`, `mcsqueal replay`)
		mcsqueal(t, "status", "--admin", at, "--key", "bad%2").failed(t, 1, "percent sign")
		// What it says is a second old at most.
		await(t, "all is well", func() bool { return mcsqueal(t, "status", "--admin", at).status == 0 })
		var status admin.Status
		if err := json.Unmarshal([]byte(mcsqueal(t, "status", "--admin", at, "--json").stdout.String()), &status); err != nil || len(status.Clusters) != 2 || !status.Source.Tailing {
			t.Errorf("as JSON it says %+v, %v", status, err)
		}
		watching := call{args: []string{"status", "--admin", at, "--watch"}}.start(t)
		await(t, "it is told twice", func() bool { return strings.Count(watching.stdout.String(), "in step  mcsqueal") >= 2 })
		watching.stop(t)
		mcsqueal(t, "status", "--admin", at, "--watch", "--key", key).failed(t, 2, "--watch")
		mcsqueal(t, "status", "--admin", "ftp://"+at).failed(t, 2, "HOST:PORT")
		mcsqueal(t, "status", "--admin", "127.0.0.1:1").failed(t, 1, "does it run", "127.0.0.1:1")

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
		if text := tab.Text("#config-text"); strings.Contains(text, password) {
			t.Error("the password is in the configuration that is shown")
		}
		tab.Screenshot("daemon-" + nameOf(db.Kind()))
		tab.Close()
		daemon.stop(t)
	})
}

// What is wrong with a cluster is said with what to do about it: in the table, in the
// document, and on the page. And a key that a cache refuses is not said to be gone.
func TestStatusSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		backend, away := newCache(t), newCache(t)
		router := servers.Proxy(t, servers.ProxyConfig{Backends: []string{backend.Addr()}})
		// Of so many others' keys as are refused not all would be remembered.
		own := "match: '^" + db.schema + ":'"
		cfg := configure(t, db.url(), "clusters:", fmt.Sprintf("  - {name: east, routers: [%s], %s}", router.Addr(), own), fmt.Sprintf("  - {name: west, servers: [%s], %s}", away.Addr(), own))
		daemon := cfg.daemon(t, "--admin-listen", "127.0.0.1:0")
		at := daemon.address(t)
		s := db.session(t)
		s.settle(t, backend)
		s.settle(t, away)
		await(t, "all is well", func() bool {
			out := call{args: []string{"status", "--admin", at}}.run(t).stdout.String()
			return strings.HasPrefix(out, "in step") && regexp.MustCompile(`(?m)^east +in step +0 s `).MatchString(out) && regexp.MustCompile(`(?m)^west +in step +0 s `).MatchString(out)
		})
		if err := backend.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := away.Kill(); err != nil {
			t.Fatal(err)
		}
		key := db.key("refused")
		s.commit(t, key)
		var status admin.Status
		await(t, "both clusters have their advice", func() bool {
			_, text := daemon.get(t, "/api/status")
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
		mcsqueal(t, "status", "--admin", at).prints(t, `east: warning: \d+ keys? (is|are) refused for now`, `west: error: 1 of its 1 servers cannot be used`, `Nothing is lost`)
		mcsqueal(t, "status", "--admin", at, "--key", key).prints(t, `east: refused for now, and tried again; last at`, `west: not acknowledged yet`)

		tab := browser.Open(t)
		tab.Do(chromedp.Navigate("http://" + at))
		tab.Shows("#clusters", "not connected")
		tab.Shows("#clusters", "Bring it back")
		tab.Shows("#troubled", key)
		tab.Do(chromedp.SendKeys(chromedp.CSS("#key"), key+kb.Enter))
		tab.Shows("#found", "It is on its way, or was held up")
		tab.Shows("#found", "refused for now, and tried again; last")
		tab.Screenshot("trouble-" + nameOf(db.Kind()))

		if err := backend.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := away.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "both have the key", func() bool {
			out := call{args: []string{"status", "--admin", at, "--key", key}}.run(t).stdout.String()
			return strings.Contains(out, "east: acknowledged at") && strings.Contains(out, "west: acknowledged at")
		})
		tab.Do(chromedp.Click(chromedp.CSS("#find button")))
		tab.Shows("#found", "Yes: 1 invalidation")
		tab.Close()
		daemon.stop(t)
	})
}

// certificate writes a certificate that vouches for itself, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	return certificateUntil(t, time.Now().Add(time.Hour))
}

func certificateUntil(t *testing.T, end time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mcsqueal"}, DNSNames: []string{"mcsqueal.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// With TLS and a token, who has the daemon's configuration is told, and nobody else; and
// the token is in no line of the log.
func TestStatusIsKeptFromStrangers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cert, key := certificate(t)
		token := filepath.Join(t.TempDir(), "token")
		const secret = "correct-staple"
		if err := os.WriteFile(token, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		text, err := os.ReadFile(cfg.path)
		if err != nil {
			t.Fatal(err)
		}
		with := strings.Replace(string(text), `admin: {listen: ""}`, fmt.Sprintf("admin: {listen: \"127.0.0.1:0\", tls: {cert: %s, key: %s}, token_file: %s}", cert, key, token), 1)
		if err := os.WriteFile(cfg.path, []byte(with), 0o600); err != nil {
			t.Fatal(err)
		}
		daemon := cfg.daemon(t)
		at := daemon.address(t)
		asked := []string{"status", "--admin", "https://" + at, "--ca", cert, "--server-name", "mcsqueal.example"}
		// It says so by its exit status, too.
		await(t, "all is well", func() bool {
			return call{args: append(asked, "--token-file", token)}.run(t).status == 0
		})
		call{args: append(asked, "--token-file", token)}.run(t).prints(t, `(?m)^east `)
		call{args: asked, env: []string{"MCSQUEAL_ADMIN_TOKEN=" + secret}}.run(t).prints(t, `(?m)^east `)
		call{args: asked}.run(t).failed(t, 1, "asks for a token", "MCSQUEAL_ADMIN_TOKEN", "--token-file")
		call{args: asked, env: []string{"MCSQUEAL_ADMIN_TOKEN=wrong"}}.run(t).failed(t, 1, "does not know this token")
		call{args: []string{"status", "--admin", "https://" + at}}.run(t).failed(t, 1, "certificate")
		// The configuration alone has all of it, but for the port that was free.
		if err := os.WriteFile(cfg.path, []byte(strings.Replace(with, "127.0.0.1:0", at, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		mcsqueal(t, "status", "--config", cfg.path).prints(t, `(?m)^east `)
		if strings.Contains(daemon.stderr.String(), secret) || strings.Contains(daemon.stderr.String(), "correct horse") {
			t.Error("a secret is in the log")
		}
		daemon.stop(t)
		mcsqueal(t, "status", "--config", cfg.path).failed(t, 1, "does it run", at)
		if err := os.WriteFile(cfg.path, []byte(strings.Replace(with, cert, cert+".gone", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		mcsqueal(t, "run", "--config", cfg.path).failed(t, 2, "admin certificate", ".gone")
	})
}

// Before a start it is said who may look, and whether the listener can prove who it is.
func TestCheckLooksAtTheListener(t *testing.T) {
	t.Parallel()
	db := shared[0].get(t)
	cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", newCache(t).Addr()))
	must(t, cfg.check(t, "--admin-listen", "0.0.0.0:0"), "state_dir", "admin", "warn", "whoever reaches 0.0.0.0:0 sees keys", "admin.token_file")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, cfg.check(t, "--admin-listen", "0.0.0.0:0", "--admin-token-file", token), "state_dir", "admin", "warn", "everybody on this machine may read", "chmod o=")
	must(t, cfg.check(t, "--admin-listen", "127.0.0.1:0", "--admin-token-file", token+".gone"), "state_dir", "admin", "fail", "no such file", "admin.token_file")
	for want, end := range map[string]time.Time{"fail": time.Now().Add(-time.Minute), "warn": time.Now().Add(time.Hour), "ok": time.Now().Add(90 * 24 * time.Hour)} {
		cert, key := certificateUntil(t, end)
		mend := "renew it"
		if want == "ok" {
			mend = ""
		}
		must(t, cfg.check(t, "--admin-listen", "127.0.0.1:0", "--admin-tls-cert", cert, "--admin-tls-key", key), "state_dir", "admin_tls", want, end.UTC().Format(time.DateOnly), mend)
	}
	cert, _ := certificate(t)
	_, key := certificate(t)
	must(t, cfg.check(t, "--admin-listen", "127.0.0.1:0", "--admin-tls-cert", cert, "--admin-tls-key", key), "state_dir", "admin_tls", "fail", "private key does not match", "of one pair")
}

// Whoever looks, and however many, the way of the data does not wait for them.
func TestWhoLooksDelaysNobody(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *database) {
		m := newCache(t)
		cfg := configure(t, db.url(), "clusters:", cluster("east", "servers", m.Addr()))
		daemon := cfg.daemon(t, "--admin-listen", "127.0.0.1:0")
		at := daemon.address(t)
		s := db.session(t)
		s.settle(t, m)
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
			keys := db.numbered(fmt.Sprintf("round%d", i), 200)
			fill(t, m, keys...)
			s.commit(t, keys...)
			awaitGone(t, m, keys...)
		}
		close(done)
		lookers.Wait()
		daemon.stop(t)
	})
}
