package admin

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func ready() error { return nil }

// request is send for what is usual.
func request(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	return send(t, http.MethodGet, url, headers...)
}

// send sends a request with headers, and gives the whole answer.
func send(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// Everything that says anything wants the token; that the process lives, and the page,
// which has no data in it, do not.
func TestWithoutTheTokenNothingIsTold(t *testing.T) {
	var said bytes.Buffer
	began := time.Now()
	url := server(t, func() error { return errors.New("cluster secret is late") }, func(c *Config) {
		c.Token, c.Pprof = "let-me-in", true
		c.Logger = slog.New(slog.NewTextHandler(&said, nil))
	})
	for _, path := range []string{"/metrics", "/api/status", "/api/history", "/api/latest", "/api/keys?key=k", "/api/config", "/debug/pprof/", "/debug/pprof/heap"} {
		for name, header := range map[string]string{
			"nothing": "", "another": "Bearer let-me-out", "its beginning": "Bearer let-me", "more": "Bearer let-me-in2",
			"another scheme": "Basic let-me-in", "none": "Bearer ", "bare": "let-me-in",
		} {
			if answer, text := request(t, url+path, "Authorization", header); answer.StatusCode != http.StatusUnauthorized || strings.Contains(text, "let-me") {
				t.Errorf("%s, with %s: %d %q", path, name, answer.StatusCode, text)
			}
		}
		if answer, text := request(t, url+path, "Authorization", "bearer let-me-in"); answer.StatusCode != http.StatusOK {
			t.Errorf("%s, with the token: %d %q", path, answer.StatusCode, text)
		}
	}
	for _, path := range []string{"/healthz", "/", "/page.js", "/page.css", "/icon.svg"} {
		if answer, _ := request(t, url+path); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	if answer, text := request(t, url+"/readyz"); answer.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "secret") {
		t.Errorf("/readyz: %d %q", answer.StatusCode, text)
	}
	if answer, text := request(t, url+"/readyz", "Authorization", "Bearer let-me-in"); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "secret") {
		t.Errorf("/readyz, with the token: %d %q", answer.StatusCode, text)
	}
	most := 1 + int(time.Since(began)/wrongEvery)
	if n := strings.Count(said.String(), "wrong token"); n < 1 || n > most || strings.Contains(said.String(), "let-me") {
		t.Errorf("%d lines about wrong tokens, want %d at most for all:\n%s", n, most, said.String())
	}
}

// A page of somebody else's, under a name of theirs that leads to this machine, is not
// let in; nor does any other page get to frame or read what is served.
func TestOtherPeoplesPagesAreKeptOut(t *testing.T) {
	url := server(t, ready)
	for host, want := range map[string]int{
		"127.0.0.1:9470": 200, "localhost": 200, "LocalHost:1": 200, "[::1]:9470": 200, "10.1.2.3": 200,
		"evil.example": 421, "evil.example:9470": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421,
	} {
		if answer, _ := request(t, url+"/api/status", "Host", host); answer.StatusCode != want {
			t.Errorf("asked as %s: %d, want %d", host, answer.StatusCode, want)
		}
	}
	answer, _ := request(t, url+"/")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
	} {
		if got := answer.Header.Get(name); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if policy := answer.Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("the policy lets things through: %s", policy)
	}
	// With a token any name will do: what browsers send along does not include it.
	url = server(t, ready, func(c *Config) { c.Token = "t" })
	if answer, _ := request(t, url+"/api/status", "Host", "status.example", "Authorization", "Bearer t"); answer.StatusCode != http.StatusOK {
		t.Errorf("by another name with the token: %d", answer.StatusCode)
	}
}

// The page holds nothing that the policy would not let run.
func TestThePageIsWholeWithoutANetwork(t *testing.T) {
	url := server(t, ready)
	for path, kind := range map[string]string{"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/icon.svg": "image/svg+xml"} {
		answer, text := request(t, url+path)
		if !strings.HasPrefix(answer.Header.Get("Content-Type"), kind) || text == "" {
			t.Errorf("%s is %s of %d bytes", path, answer.Header.Get("Content-Type"), len(text))
		}
		for _, bad := range []string{"https://", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "onclick=", "style=\"", "javascript:"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %s in it", path, bad)
			}
		}
	}
}

func TestProfilesAreServedWhenAskedFor(t *testing.T) {
	url := server(t, ready, func(c *Config) { c.Pprof = true })
	if answer, text := request(t, url+"/debug/pprof/goroutine?debug=1"); answer.StatusCode != http.StatusOK || !strings.Contains(text, "goroutine profile") {
		t.Errorf("/debug/pprof/goroutine: %d", answer.StatusCode)
	}
}

// Whoever opens many connections keeps others waiting, and not for good; and gets no more
// of the daemon's memory.
func TestConnectionsAreBounded(t *testing.T) {
	url := server(t, ready)
	address := strings.TrimPrefix(url, "http://")
	var idle []net.Conn
	for range maxConnections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	more, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = more.Close() }()
	if _, err := more.Write([]byte("GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := more.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := more.Read(make([]byte, 1)); err == nil {
		t.Fatalf("one connection too many is answered, %d bytes", n)
	}
	if err := idle[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := more.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := more.Read(make([]byte, 1)); err != nil {
		t.Errorf("it is not let in when another has left: %v", err)
	}
}
