package main

import (
	"strconv"
	"time"

	"github.com/mcsqueal/mcsqueal/release"
)

// allFlags are memcached's, and behind them our own. The order is that of --help.
func allFlags() []flag {
	return []flag{
		{'p', "port", argRequired, "NUM|TCP port (11211); 0: none, -1: any that is free", func(s *settings, arg string) error {
			s.portGiven = true
			return intFlag(-1, 65535, func(s *settings, n int) { s.port = n })(s, arg)
		}},
		{'U', "udp-port", argRequired, "NUM|UDP port (0: none); answers get, gets and mg", func(s *settings, arg string) error {
			s.udpGiven = true
			return intFlag(-1, 65535, func(s *settings, n int) { s.udpPort = n })(s, arg)
		}},
		{'s', "unix-socket", argRequired, "FILE|Unix socket, instead of the network", func(s *settings, arg string) error {
			s.unixPath = arg
			return nil
		}},
		{'a', "unix-mask", argRequired, "MASK|permissions of the Unix socket, octal (700)", func(s *settings, arg string) (err error) {
			s.unixMask, err = octal(arg)
			return err
		}},
		{'A', "enable-shutdown", argNone, "obey the command shutdown", func(s *settings, _ string) error { s.serve.Shutdown = true; return nil }},
		{'l', "listen", argRequired, "ADDR|where to listen (everywhere); may be repeated, or a list with commas. Each is [notls|btls|mtls:][proto[NAME]:][tag[NAME]:]HOST[:PORT]", (*settings).addListen},
		{'d', "daemon", argNone, "run in the background", func(s *settings, _ string) error { s.daemon = true; return nil }},
		{'r', "enable-coredumps", argNone, "lift the limit on core files", func(s *settings, _ string) error { s.core = true; return nil }},
		{'u', "user", argRequired, "USER|become this user; needed when started as root", func(s *settings, arg string) error { s.user = arg; return nil }},
		{'m', "memory-limit", argRequired, "NUM|memory for items and their index, in megabytes (64)", intFlag(0, 1<<30, func(s *settings, n int) { s.memory = int64(n) << 20 })},
		{'M', "disable-evictions", argNone, "answer errors when memory is full instead of evicting", func(s *settings, _ string) error { s.serve.NoEvictions = true; return nil }},
		{'c', "conn-limit", argRequired, "NUM|connections at a time (1024)", intFlag(1, 1<<24, func(s *settings, n int) { s.serve.MaxConns = n })},
		{'k', "lock-memory", argNone, "keep all memory from being swapped out", func(s *settings, _ string) error { s.lock = true; return nil }},
		{'v', "verbose", argOptional, "say more on standard error; -vv still more", func(s *settings, arg string) error {
			s.verbose += 1 + len(arg)
			return nil
		}},
		{'h', "help", argNone, "print this", func(s *settings, _ string) error { s.answered = helpText(); return nil }},
		{'i', "license", argNone, "print the licence", func(s *settings, _ string) error { s.answered = licenseText; return nil }},
		{'V', "version", argNone, "print the version", func(s *settings, _ string) error { s.answered = release.Line("mccache"); return nil }},
		{'P', "pidfile", argRequired, "FILE|write the process's number there", func(s *settings, arg string) error { s.pidFile = arg; return nil }},
		{'f', "slab-growth-factor", argRequired, "NUM|without effect: sizes of chunks are chosen", idleFlag("-f", "growth_factor", func(arg string) (string, error) {
			f, err := strconv.ParseFloat(arg, 64)
			if err != nil || f <= 1 {
				return "", usagef("%q is no factor above 1", arg)
			}
			return strconv.FormatFloat(f, 'f', 2, 64), nil
		})},
		{'n', "slab-min-size", argRequired, "NUM|without effect: sizes of chunks are chosen", idleFlag("-n", "chunk_size", wholeText(1, 1<<20))},
		{'L', "enable-largepages", argNone, "without effect", idleFlag("-L", "", nil)},
		{'D', "", argRequired, "CHAR|without effect: nothing is counted by prefixes", idleFlag("-D", "", func(arg string) (string, error) {
			if arg == "" {
				return "", usagef("no delimiter is given")
			}
			return arg, nil
		})},
		{'t', "threads", argRequired, "NUM|threads that serve connections (4)", intFlag(1, 1024, func(s *settings, n int) { s.serve.Threads = n })},
		{'R', "max-reqs-per-event", argRequired, "NUM|without effect: turns are bounded by bytes", idleFlag("-R", "reqs_per_event", wholeText(1, 1<<31-1))},
		{'C', "disable-cas", argNone, "keep no versions of items, which leases need", func(s *settings, _ string) error { s.serve.NoCAS = true; return nil }},
		{'b', "listen-backlog", argRequired, "NUM|connections that may wait to be accepted (1024)", intFlag(1, 1<<24, func(s *settings, n int) { s.serve.Backlog = n })},
		{'B', "protocol", argRequired, "NAME|auto or ascii, which are the same here", func(_ *settings, arg string) error { return checkProtocol(arg) }},
		{'I', "max-item-size", argRequired, "SIZE|the largest item (1m), from 1k to 1024m", func(s *settings, arg string) error {
			n, err := size(arg)
			s.itemMax = int(n)
			return err
		}},
		{'S', "enable-sasl", argNone, "refused: it is for the binary protocol; see -Y and -Z", func(*settings, string) error {
			return usagef("SASL is for the binary protocol, which is not served here; use an authentication file (-Y) or clients' certificates (-Z)")
		}},
		{'F', "disable-flush-all", argNone, "refuse flush_all", func(s *settings, _ string) error { s.serve.NoFlush = true; return nil }},
		{'X', "disable-dumping", argNone, "refuse to list keys", func(s *settings, _ string) error { s.serve.NoDump = true; return nil }},
		{'W', "disable-watch", argNone, "refuse watch", func(s *settings, _ string) error { s.serve.NoWatch = true; return nil }},
		{'Y', "auth-file", argRequired, "FILE|let in only who is in this file, a line each: user:password", func(s *settings, arg string) error { s.serve.AuthFile = arg; return nil }},
		{'e', "memory-file", argRequired, "FILE|keep items in this file, on a tmpfs, over restarts", func(s *settings, arg string) error { s.memoryFile = arg; return nil }},
		{'Z', "enable-ssl", argNone, "serve TLS", func(s *settings, _ string) error { s.tls = true; return nil }},
		{'N', "napi-ids", argRequired, "NUM|without effect", idleFlag("-N", "num_napi_ids", wholeText(1, 1<<16))},
		{'o', "extended", argRequired, "LIST|further options, with commas; see below", extended},
		{0, "metrics", argRequired, "HOST:PORT|serve /metrics for Prometheus, and /healthz, over HTTP (off)", func(s *settings, arg string) error { s.metrics = arg; return nil }},
		{0, "lease-interval", argRequired, "SECONDS|hand out one lease of a key in so many seconds (10)", setLeaseInterval},
		{0, "stale-time", argRequired, "SECONDS|keep deleted values so long for who asks for stale ones", setStaleTime},
	}
}

func setLeaseInterval(s *settings, arg string) error {
	n, err := whole(arg, 1, 24*60*60)
	s.leaseInterval = time.Duration(n) * time.Second
	return err
}

func setStaleTime(s *settings, arg string) (err error) {
	s.staleTime, err = seconds(arg)
	s.staleGiven = true
	return err
}
