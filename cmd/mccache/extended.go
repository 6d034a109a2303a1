package main

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"
)

// suboption is an element of -o: NAME or NAME=VALUE.
type suboption struct {
	name  string
	arg   argument
	help  string
	apply func(s *settings, arg string) error
}

// wholeText checks a whole number and shows it as it was given.
func wholeText(from, to int64) func(string) (string, error) {
	return func(arg string) (string, error) {
		n, err := whole(arg, from, to)
		return strconv.FormatInt(n, 10), err
	}
}

// numberText checks a number above 0 and at most to, and shows it with some decimals.
func numberText(to float64, decimals int) func(string) (string, error) {
	return func(arg string) (string, error) {
		n, err := strconv.ParseFloat(arg, 64)
		if err != nil || n <= 0 || n > to {
			return "", usagef("%q is no number above 0, up to %g", arg, to)
		}
		return strconv.FormatFloat(n, 'f', decimals, 64), nil
	}
}

// kilobytes checks a number of them and shows bytes.
func kilobytes(arg string) (string, error) {
	n, err := whole(arg, 0, 1<<22)
	return strconv.FormatInt(n<<10, 10), err
}

func megabytes(arg string) (string, error) {
	n, err := whole(arg, 0, 1<<12)
	return strconv.FormatInt(n<<20, 10), err
}

func oneOf(names ...string) func(string) (string, error) {
	return func(arg string) (string, error) {
		for _, name := range names {
			if arg == name {
				return arg, nil
			}
		}
		return "", usagef("%q is none of %s", arg, strings.Join(names, ", "))
	}
}

// idle makes a suboption that changes nothing here.
func idle(name string, arg argument, setting string, check func(string) (string, error)) suboption {
	return suboption{name, arg, "", idleFlag("-o "+name, setting, check)}
}

func shown(value string) func(string) (string, error) {
	return func(string) (string, error) { return value, nil }
}

// suboptions are memcached's, and behind them our own.
func suboptions() []suboption {
	most := int64(1<<32 - 1)
	return []suboption{
		{"maxconns_fast", argNone, "tell clients over the limit, and close them (the default)", func(s *settings, _ string) error { s.serve.WaitAtLimit = false; return nil }},
		{"no_maxconns_fast", argNone, "let clients over the limit wait", func(s *settings, _ string) error { s.serve.WaitAtLimit = true; return nil }},
		{"idle_timeout", argRequired, "close connections of which nothing came for so many seconds (0: never)", func(s *settings, arg string) (err error) {
			s.serve.IdleTimeout, err = seconds(arg)
			return err
		}},
		{"ssl_chain_cert", argRequired, "file of the certificate and those that vouch for it, PEM", func(s *settings, arg string) error { s.serve.TLS.Chain = arg; return nil }},
		{"ssl_key", argRequired, "file of the private key, PEM (in ssl_chain_cert's)", func(s *settings, arg string) error { s.serve.TLS.Key = arg; return nil }},
		{"ssl_ca_cert", argRequired, "file of those who may vouch for clients, PEM", func(s *settings, arg string) error { s.serve.TLS.Authorities = arg; return nil }},
		{"ssl_verify_mode", argRequired, "0: ask no certificate of clients, 1: check one that is given, 2 or 3: require one (0)", verifyMode},
		{"ssl_min_version", argRequired, "0 to 3: at least TLS 1.0 to 1.3 (2)", minVersion},
		{"ssl_ciphers", argRequired, "cipher suites for TLS 1.2, by OpenSSL's or IANA's names, with colons", cipherSuites},
		{"ssl_session_cache", argNone, "let clients resume sessions", func(s *settings, _ string) error { s.serve.TLS.Resume = true; return nil }},
		{"ssl_keyformat", argRequired, "1: PEM, the only one here", func(_ *settings, arg string) error {
			if arg != "1" && !strings.EqualFold(arg, "PEM") {
				return usagef("the private key must be PEM (1), not %q", arg)
			}
			return nil
		}},
		idle("ssl_wbuf_size", argRequired, "ssl_wbuf_size", kilobytes),
		idle("ssl_kernel_tls", argNone, "", nil),

		idle("hashpower", argRequired, "hashpower_init", wholeText(12, 32)),
		idle("hash_algorithm", argRequired, "", oneOf("jenkins", "murmur3", "xxh3")),
		idle("no_hashexpand", argNone, "", nil),
		idle("tail_repair_time", argRequired, "tail_repair_time", wholeText(10, most)),
		idle("slab_reassign", argNone, "", nil),
		idle("no_slab_reassign", argNone, "slab_reassign", shown("no")),
		idle("slab_automove", argOptional, "", func(arg string) (string, error) {
			if arg == "" {
				return "1", nil
			}
			return wholeText(0, 2)(arg)
		}),
		idle("no_slab_automove", argNone, "slab_automove", shown("0")),
		idle("slab_automove_ratio", argRequired, "slab_automove_ratio", numberText(1, 2)),
		idle("slab_automove_window", argRequired, "slab_automove_window", wholeText(3, 1800)),
		idle("slab_automove_freeratio", argRequired, "slab_automove_freeratio", numberText(1, 3)),
		idle("slab_sizes", argRequired, "", nil),
		idle("slab_chunk_max", argRequired, "", wholeText(1, 1<<10)),
		idle("no_chunked_items", argNone, "", nil),
		idle("lru_crawler", argNone, "", nil),
		idle("no_lru_crawler", argNone, "lru_crawler", shown("no")),
		idle("lru_crawler_sleep", argRequired, "lru_crawler_sleep", wholeText(0, 1_000_000)),
		idle("lru_crawler_tocrawl", argRequired, "lru_crawler_tocrawl", wholeText(0, most)),
		idle("lru_maintainer", argNone, "", nil),
		idle("no_lru_maintainer", argNone, "lru_maintainer_thread", shown("no")),
		idle("hot_lru_pct", argRequired, "hot_lru_pct", wholeText(1, 79)),
		idle("warm_lru_pct", argRequired, "warm_lru_pct", wholeText(1, 79)),
		idle("hot_max_factor", argRequired, "hot_max_factor", numberText(1e9, 2)),
		idle("warm_max_factor", argRequired, "warm_max_factor", numberText(1e9, 2)),
		idle("temporary_ttl", argRequired, "temporary_ttl", wholeText(0, most)),
		idle("read_buf_mem_limit", argRequired, "read_buf_mem_limit", megabytes),
		idle("resp_obj_mem_limit", argOptional, "", nil),
		idle("watcher_logbuf_size", argRequired, "watcher_logbuf_size", kilobytes),
		idle("worker_logbuf_size", argRequired, "worker_logbuf_size", kilobytes),
		idle("track_sizes", argNone, "", nil),
		idle("inline_ascii_resp", argNone, "", nil),
		idle("no_inline_ascii_resp", argNone, "", nil),
		idle("modern", argNone, "", nil),
		{"no_modern", argNone, "", func(s *settings, arg string) error {
			s.serve.WaitAtLimit = true
			return idleFlag("-o no_modern", "", nil)(s, arg)
		}},
		idle("drop_privileges", argNone, "", nil),
		idle("no_drop_privileges", argNone, "", nil),
		idle("relaxed_privileges", argNone, "", nil),
		idle("sock_cookie_id", argRequired, "", wholeText(0, most)),
		idle("ext_path", argRequired, "", nil),
		idle("ext_page_size", argRequired, "", wholeText(1, most)),
		idle("ext_wbuf_size", argRequired, "", wholeText(1, most)),
		idle("ext_threads", argRequired, "", wholeText(1, most)),
		idle("ext_io_depth", argRequired, "", wholeText(1, most)),
		idle("ext_item_size", argRequired, "ext_item_size", wholeText(0, most)),
		idle("ext_item_age", argRequired, "ext_item_age", wholeText(0, most)),
		idle("ext_low_ttl", argRequired, "ext_low_ttl", wholeText(0, most)),
		idle("ext_drop_unread", argNone, "ext_drop_unread", shown("yes")),
		idle("ext_recache_rate", argRequired, "ext_recache_rate", wholeText(0, most)),
		idle("ext_compact_under", argRequired, "ext_compact_under", wholeText(0, most)),
		idle("ext_drop_under", argRequired, "ext_drop_under", wholeText(0, most)),
		idle("ext_max_frag", argRequired, "ext_max_frag", numberText(1, 2)),
		idle("ext_max_sleep", argRequired, "ext_max_sleep", wholeText(0, most)),
		{"proxy_config", argRequired, "refused: this is a cache and no proxy", refuseProxy},
		{"proxy_arg", argRequired, "", refuseProxy},
		{"proxy_uring", argNone, "", refuseProxy},
		{"proxy_memprofile", argNone, "", refuseProxy},

		{"lease_interval", argRequired, "as --lease-interval", setLeaseInterval},
		{"stale_time", argRequired, "as --stale-time", setStaleTime},
	}
}

func refuseProxy(*settings, string) error { return usagef("this is a cache and no proxy") }

// extended reads the list of -o.
func extended(s *settings, list string) error {
	known := suboptions()
next:
	for _, element := range strings.Split(list, ",") {
		if element == "" {
			continue
		}
		name, value, given := strings.Cut(element, "=")
		for _, o := range known {
			if o.name != name {
				continue
			}
			switch {
			case !given && o.arg == argRequired:
				return usagef("%s needs a value: %[1]s=…", name)
			case given && o.arg == argNone:
				return usagef("%s takes no value, but has %q", name, value)
			}
			if err := o.apply(s, value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			continue next
		}
		return usagef("unknown option %q; -h lists them", name)
	}
	return nil
}

func verifyMode(s *settings, arg string) error {
	switch arg {
	case "0":
		s.serve.TLS.Verify = tls.NoClientCert
	case "1":
		s.serve.TLS.Verify = tls.VerifyClientCertIfGiven
	case "2", "3":
		s.serve.TLS.Verify = tls.RequireAndVerifyClientCert
	default:
		return usagef("%q is none of 0 to 3", arg)
	}
	return nil
}

func minVersion(s *settings, arg string) error {
	n, err := whole(arg, 0, 3)
	if err == nil {
		s.serve.TLS.MinVersion = tls.VersionTLS10 + uint16(n)
	}
	return err
}

// opensslNames are OpenSSL's names of the suites that Go has under IANA's.
var opensslNames = map[string]string{
	"ECDHE-RSA-AES128-GCM-SHA256":   "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"ECDHE-RSA-AES256-GCM-SHA384":   "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	"ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	"ECDHE-RSA-CHACHA20-POLY1305":   "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	"ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	"ECDHE-RSA-AES128-SHA":          "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	"ECDHE-RSA-AES256-SHA":          "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
	"ECDHE-ECDSA-AES128-SHA":        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
	"ECDHE-ECDSA-AES256-SHA":        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
}

func cipherSuites(s *settings, arg string) error {
	suites := tls.CipherSuites()
	for _, name := range strings.Split(arg, ":") {
		iana := name
		if known, ok := opensslNames[name]; ok {
			iana = known
		}
		found := false
		for _, suite := range suites {
			if suite.Name == iana {
				s.serve.TLS.CipherSuites = append(s.serve.TLS.CipherSuites, suite.ID)
				found = true
			}
		}
		if !found {
			return usagef("there is no cipher suite %q, or it is not safe; name suites one by one, as ECDHE-RSA-AES128-GCM-SHA256", name)
		}
	}
	return nil
}
