package server

import (
	"strconv"
	"strings"
)

// settings are what stats settings says: what the server was told, by memcached's names.
// Of what changes nothing here it says what was given, or memcached's default.
func (srv *Server) settings(say report) {
	o := &srv.options
	onOff := func(on bool) string {
		if on {
			return "on"
		}
		return "off"
	}
	yes := func(is bool) string {
		if is {
			return "yes"
		}
		return "no"
	}
	tcp, udp, socket, inter := srv.listening()
	known := map[string]string{
		"maxbytes":            strconv.FormatInt(srv.store.Stats().Limit, 10),
		"maxconns":            strconv.Itoa(o.MaxConns),
		"tcpport":             tcp,
		"udpport":             udp,
		"inter":               inter,
		"verbosity":           strconv.Itoa(int(srv.verbosity.Load())),
		"evictions":           onOff(!o.NoEvictions),
		"domain_socket":       socket,
		"shutdown_command":    yes(o.Shutdown),
		"num_threads":         strconv.Itoa(o.Threads),
		"num_threads_per_udp": strconv.Itoa(o.Threads),
		"cas_enabled":         yes(!o.NoCAS),
		"tcp_backlog":         strconv.Itoa(o.Backlog),
		"auth_enabled_ascii":  "no",
		"item_size_max":       strconv.Itoa(o.MaxItemSize),
		"maxconns_fast":       yes(!o.WaitAtLimit),
		"flush_enabled":       yes(!o.NoFlush),
		"dump_enabled":        yes(!o.NoDump),
		"idle_timeout":        strconv.Itoa(int(o.IdleTimeout.Seconds())),
		"ssl_enabled":         yes(srv.certs != nil),
	}
	if srv.auth != nil {
		known["auth_enabled_ascii"] = o.AuthFile
	}
	for line := range strings.SplitSeq(strings.TrimSpace(memcachedSettings), "\n") {
		name, value, _ := strings.Cut(line, " ")
		if given, ok := o.Settings[name]; ok {
			value = given
		}
		if ours, ok := known[name]; ok {
			value = ours
		}
		say(name, value)
	}
}

// listening says where the server listens, in memcached's words.
func (srv *Server) listening() (tcp, udp, socket, inter string) {
	tcp, udp, socket, inter = "0", "0", "NULL", "NULL"
	for _, e := range srv.options.Endpoints {
		switch e.Network {
		case "tcp":
			tcp = strconv.Itoa(e.Port)
			if e.Host != "" {
				inter = e.Host
			}
		case "udp":
			udp = strconv.Itoa(e.Port)
		case "unix":
			socket = e.Path
		}
	}
	return tcp, udp, socket, inter
}

// memcachedSettings are the settings memcached names, in its order, with its defaults.
const memcachedSettings = `
maxbytes 67108864
maxconns 1024
tcpport 11211
udpport 0
inter NULL
verbosity 0
oldest 0
evictions on
domain_socket NULL
umask 700
shutdown_command no
growth_factor 1.25
chunk_size 48
num_threads 4
num_threads_per_udp 4
stat_key_prefix :
detail_enabled no
reqs_per_event 20
cas_enabled yes
tcp_backlog 1024
binding_protocol auto-negotiate
auth_enabled_sasl no
auth_enabled_ascii no
item_size_max 1048576
maxconns_fast yes
hashpower_init 0
slab_reassign yes
slab_automove 1
slab_automove_ratio 0.80
slab_automove_window 10
slab_chunk_max 524288
lru_crawler yes
lru_crawler_sleep 100
lru_crawler_tocrawl 0
tail_repair_time 0
flush_enabled yes
dump_enabled yes
hash_algorithm murmur3
lru_maintainer_thread yes
lru_segmented yes
hot_lru_pct 20
warm_lru_pct 40
hot_max_factor 0.20
warm_max_factor 2.00
temp_lru no
temporary_ttl 61
idle_timeout 0
watcher_logbuf_size 262144
worker_logbuf_size 65536
read_buf_mem_limit 0
track_sizes no
inline_ascii_response no
ext_item_size 512
ext_item_age 4294967295
ext_low_ttl 0
ext_recache_rate 2000
ext_wbuf_size 4194304
ext_compact_under 0
ext_drop_under 0
ext_max_sleep 1000000
ext_max_frag 0.80
slab_automove_freeratio 0.010
ext_drop_unread no
ssl_enabled no
ssl_chain_cert (null)
ssl_key (null)
ssl_verify_mode 0
ssl_keyformat 1
ssl_ciphers NULL
ssl_ca_cert NULL
ssl_wbuf_size 16384
ssl_session_cache no
ssl_kernel_tls no
ssl_min_version tlsv1.2
proxy_enabled no
proxy_uring_enabled no
num_napi_ids 0
memory_file (null)
client_flags_size 4
`
