package main

import (
	"bytes"
	"crypto/tls"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcsqueal/mcsqueal/cache/server"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// parsed reads flags that must be right.
func parsed(t *testing.T, args ...string) (*settings, []string) {
	t.Helper()
	s := defaults()
	words, err := parseFlags(allFlags(), args, s)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return s, words
}

func TestFlagsAreReadAsGetoptReadsThem(t *testing.T) {
	for _, args := range []string{
		"-m 100 -v -v -A", "-m100 -vvA", "-Avv -m 100", "-vAm 100 -v", "-Avvm100", "--memory-limit=100 --verbose --verbose --enable-shutdown",
		"--memory-limit 100 -vv --enable-shut", "--memory-l=100 --verbose=v -A", "stray -m 100 words -vv -A", "-m 100 -vv -A -- -m 7",
	} {
		s, words := parsed(t, strings.Fields(args)...)
		if s.memory != 100<<20 || s.verbose != 2 || !s.serve.Shutdown {
			t.Errorf("%s: memory %d, verbose %d, shutdown %v", args, s.memory, s.verbose, s.serve.Shutdown)
		}
		if strings.Contains(args, "stray") && !slices.Equal(words, []string{"stray", "words"}) {
			t.Errorf("%s: words %q", args, words)
		}
	}
	s, _ := parsed(t, "-m", " 100")
	if s.memory != 100<<20 {
		t.Errorf("a blank before a number: %d", s.memory)
	}
}

func TestFlagsMeanWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		args string
		get  func(s *settings) any
		want any
	}{
		{"", func(s *settings) any { return []any{s.port, s.udpPort, s.memory, s.itemMax} }, []any{11211, 0, int64(64 << 20), 1 << 20}},
		{"-c 10", func(s *settings) any { return s.serve.MaxConns }, 10},
		{"-t 7", func(s *settings) any { return s.serve.Threads }, 7},
		{"-b 50", func(s *settings) any { return s.serve.Backlog }, 50},
		{"-I 512k", func(s *settings) any { return s.serve.MaxItemSize }, 512 << 10},
		{"-I 2M", func(s *settings) any { return s.serve.MaxItemSize }, 2 << 20},
		{"-I 2048", func(s *settings) any { return s.serve.MaxItemSize }, 2048},
		{"-M -C -F -X -W", func(s *settings) any {
			o := s.serve
			return []bool{o.NoEvictions, o.NoCAS, o.NoFlush, o.NoDump, o.NoWatch}
		}, []bool{true, true, true, true, true}},
		{"-Y users -P pid -e file -u somebody -d -r -k", func(s *settings) any {
			return []any{s.serve.AuthFile, s.pidFile, s.memoryFile, s.user, s.daemon, s.core, s.lock}
		}, []any{"users", "pid", "file", "somebody", true, true, true}},
		{"-o idle_timeout=60", func(s *settings) any { return s.serve.IdleTimeout }, time.Minute},
		{"-o no_maxconns_fast", func(s *settings) any { return s.serve.WaitAtLimit }, true},
		{"-o no_maxconns_fast,maxconns_fast", func(s *settings) any { return s.serve.WaitAtLimit }, false},
		{"-o no_modern", func(s *settings) any { return s.serve.WaitAtLimit }, true},
		{"-o lease_interval=3,stale_time=4", func(s *settings) any { return []any{s.leaseInterval, s.staleTime, s.staleGiven} }, []any{3 * time.Second, 4 * time.Second, true}},
		{"--lease-interval 3 --stale-time=0", func(s *settings) any { return []any{s.leaseInterval, s.staleTime, s.staleGiven} }, []any{3 * time.Second, time.Duration(0), true}},
		{"-Z -o ssl_chain_cert=c,ssl_key=k,ssl_ca_cert=a,ssl_verify_mode=2,ssl_min_version=3,ssl_session_cache", func(s *settings) any { return s.serve.TLS },
			server.TLSOptions{Chain: "c", Key: "k", Authorities: "a", Verify: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13, Resume: true}},
		{"-Z -o ssl_chain_cert=c,ssl_ciphers=ECDHE-RSA-AES128-GCM-SHA256:TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", func(s *settings) any { return s.serve.TLS.CipherSuites },
			[]uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}},
		{"-f 1.1 -n 100 -o hashpower=16,slab_automove,no_lru_crawler", func(s *settings) any {
			v := s.serve.Settings
			return []string{v["growth_factor"], v["chunk_size"], v["hashpower_init"], v["lru_crawler"], strings.Join(s.idle, " ")}
		}, []string{"1.10", "100", "16", "no", "-f -n -o hashpower -o slab_automove -o no_lru_crawler"}},
	} {
		s, _ := parsed(t, strings.Fields(c.args)...)
		if diff := cmp.Diff(c.want, c.get(s)); diff != "" {
			t.Errorf("%s: %s", c.args, diff)
		}
	}
}

func TestListensWhereItIsTold(t *testing.T) {
	tcp := func(host string, port int) server.Endpoint {
		return server.Endpoint{Network: "tcp", Host: host, Port: port}
	}
	udp := func(host string, port int) server.Endpoint {
		return server.Endpoint{Network: "udp", Host: host, Port: port}
	}
	with := func(e server.Endpoint, mode server.TLSMode, tag string) server.Endpoint {
		e.TLS, e.Tag = mode, tag
		return e
	}
	const secure = "-Z -o ssl_chain_cert=c "
	for _, c := range []struct {
		args string
		want []server.Endpoint
	}{
		{"", []server.Endpoint{tcp("", 11211)}},
		{"-p 22 -l 127.0.0.1 -l ::1", []server.Endpoint{tcp("127.0.0.1", 22), tcp("::1", 22)}},
		{"-l 127.0.0.1,127.0.0.1 -l 127.0.0.1", []server.Endpoint{tcp("127.0.0.1", 11211)}},
		{"-l 127.0.0.1:33,[::1]:44,[::2],localhost:55,*:66,*", []server.Endpoint{tcp("127.0.0.1", 33), tcp("::1", 44), tcp("::2", 11211), tcp("localhost", 55), tcp("", 66), tcp("", 11211)}},
		{"-U 77 -l 127.0.0.1", []server.Endpoint{tcp("127.0.0.1", 77), udp("127.0.0.1", 77)}},
		{"-U 77 -p 88", []server.Endpoint{tcp("", 88), udp("", 77)}},
		{"-p 0 -U 77", []server.Endpoint{udp("", 77)}},
		{"-p -1", []server.Endpoint{tcp("", 0)}},
		{"-s sock -a 770 -p 5", []server.Endpoint{{Network: "unix", Path: "sock", Mask: 0o770}}},
		{"-l proto[ascii]:tag[web]:127.0.0.1:33,tag_db_:127.0.0.1", []server.Endpoint{with(tcp("127.0.0.1", 33), 0, "web"), with(tcp("127.0.0.1", 11211), 0, "db")}},
		{secure + "-l 127.0.0.1,notls:127.0.0.2,btls:127.0.0.3:4,mtls:proto[ascii]:tag[x]:127.0.0.4", []server.Endpoint{
			with(tcp("127.0.0.1", 11211), server.TLSDefault, ""), tcp("127.0.0.2", 11211), with(tcp("127.0.0.3", 4), server.TLSBasic, ""), with(tcp("127.0.0.4", 11211), server.TLSMutual, "x"),
		}},
	} {
		s, _ := parsed(t, strings.Fields(c.args)...)
		if diff := cmp.Diff(c.want, s.serve.Endpoints); diff != "" {
			t.Errorf("%s: %s", c.args, diff)
		}
	}
}

func TestMistakesInFlagsAreSaid(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-q", "-q"},
		{"-m", "-m needs an argument"},
		{"--nonsense", "--nonsense"},
		{"--enable-s", "--enable-shutdown, --enable-sasl, --enable-ssl"},
		{"--daemon=yes", "takes no argument"},
		{"-m many", `"many"`},
		{"-c 0", `"0"`},
		{"-p 70000", `"70000"`},
		{"-t 0", `"0"`},
		{"-f 1", `"1"`},
		{"-I 100", "1024"},
		{"-I 40m", "half of the memory"},
		{"-m 4096 -I 1025m", "1024 megabytes"},
		{"-I 1x", `"1x"`},
		{"-a 999", `"999"`},
		{"-B binary", "binary"},
		{"-B foo", `"foo"`},
		{"-S", "SASL"},
		{"-o foo", `"foo"`},
		{"-o hashpower", "needs a value"},
		{"-o hashpower=3", `"3"`},
		{"-o maxconns_fast=1", "takes no value"},
		{"-o proxy_config=routelib", "no proxy"},
		{"-o ssl_ciphers=RC4", `"RC4"`},
		{"-o lease_interval=0", "from 1"},
		{"--lease-interval 2000000000", `"2000000000"`},
		{"-Z", "ssl_chain_cert"},
		{"-Y users -U 11211", "datagrams"},
		{"-l notls:127.0.0.1", "needs -Z"},
		{"-l tag[toolongtag]:127.0.0.1", "1 to 8"},
		{"-l proto[binary]:127.0.0.1", "binary"},
		{"-l 127.0.0.1:port", `"port"`},
	} {
		s := defaults()
		_, err := parseFlags(allFlags(), strings.Fields(c.args), s)
		if err == nil {
			err = s.check()
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || status(err) != exitUsage {
			t.Errorf("%s: %v (exit %d), want it to say %s", c.args, err, status(err), c.says)
		}
	}
}

func TestEveryFlagOfMemcachedIsKnown(t *testing.T) {
	servers.Need(t, servers.KindMemcached)
	help := memcachedHelp(t)
	flags, found := allFlags(), 0
	for _, m := range regexp.MustCompile(`(?m)^-(\w)[, ] *(?:--([\w-]+))?`).FindAllStringSubmatch(help, -1) {
		found++
		f := findShort(flags, m[1][0])
		if f == nil {
			t.Errorf("-%s is not known", m[1])
			continue
		}
		// Its help says napi_ids, its source takes napi-ids only.
		if long := strings.ReplaceAll(m[2], "_", "-"); f.long != long {
			t.Errorf("-%s is --%s here, --%s there", m[1], f.long, long)
		}
	}
	if found < 35 {
		t.Errorf("only %d flags were found in:\n%s", found, help)
	}
	options, found := suboptions(), 0
	for _, m := range regexp.MustCompile(`(?m)^   - (\w+): `).FindAllStringSubmatch(help, -1) {
		found++
		if !slices.ContainsFunc(options, func(o suboption) bool { return o.name == m[1] }) {
			t.Errorf("-o %s is not known", m[1])
		}
	}
	if found < 45 {
		t.Errorf("only %d elements of -o were found in:\n%s", found, help)
	}
}

func memcachedHelp(t *testing.T) string {
	t.Helper()
	cmd, err := servers.Command(t.Context(), servers.KindMemcached, "memcached", "-h")
	if err != nil {
		t.Fatal(err)
	}
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestHelpListsEveryFlag(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, environment{stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}); code != exitDone || errs.Len() > 0 {
		t.Fatalf("exit %d, %s", code, &errs)
	}
	for _, f := range allFlags() {
		if f.long != "" && !strings.Contains(out.String(), "--"+f.long) {
			t.Errorf("--%s is not there", f.long)
		}
	}
	for _, o := range suboptions() {
		if !regexp.MustCompile(`\b` + o.name + `\b`).MatchString(out.String()) {
			t.Errorf("-o %s is not there", o.name)
		}
	}
}
