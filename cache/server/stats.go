package server

import (
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/cache"
)

// stats is stats [WHAT]: names and their order are memcached's, so that what reads them
// there can read them here. What has no meaning here is 0.
func (s *Session) stats(w *words, out *Output) {
	what := string(w.next())
	say := func(name, value string) {
		out.text("STAT ")
		out.text(name)
		out.text(" ")
		out.text(value)
		out.text("\r\n")
	}
	// Other sessions' counters are read, and theirs may be reading ours: nobody waits
	// for another's while holding his own.
	s.tally.mu.Unlock()
	defer s.tally.mu.Lock()
	switch {
	case what == "":
		s.server.generalStats(say)
	case what == "leases":
		s.server.leaseStats(say)
	case strings.HasPrefix("reset", what):
		s.server.resetStats()
		out.text("RESET\r\n")
		return
	case strings.HasPrefix("detail", what):
		s.statsDetail(string(w.next()), out)
		return
	case strings.HasPrefix("settings", what):
		s.server.settings(say)
	case strings.HasPrefix("cachedump", what):
		s.cachedump(w, out)
		return
	case strings.HasPrefix("conns", what):
		s.server.describeConns(say)
	case strings.HasPrefix("extstore", what), strings.HasPrefix("proxy", what):
	case what == "items":
		s.server.itemStats(say)
	case what == "slabs":
		s.server.slabStats(say)
	case what == "sizes":
		say("sizes_status", "disabled")
	default:
		out.text("ERROR\r\n")
		return
	}
	out.text("END\r\n")
}

// statsDetail is stats detail on|off|dump: statistics by prefix are not kept.
func (s *Session) statsDetail(what string, out *Output) {
	switch {
	case s.server.options.NoDump:
		out.text("CLIENT_ERROR stats detail not allowed\r\n")
	case what == "on" || what == "off":
		out.text("OK\r\n")
	case what == "dump":
		out.text("END\r\n")
	default:
		out.text("CLIENT_ERROR usage: stats detail on|off|dump\r\n")
	}
}

// cachedump is stats cachedump CLASS LIMIT: some keys of a class, for people.
func (s *Session) cachedump(w *words, out *Output) {
	class, limit := w.next(), w.next()
	if s.server.options.NoDump {
		out.text("CLIENT_ERROR stats cachedump not allowed\r\n")
		return
	}
	if len(limit) == 0 {
		out.text("CLIENT_ERROR bad command line\r\n")
		return
	}
	number, okClass := unsigned32(class)
	most, okLimit := unsigned32(limit)
	if !okClass || !okLimit {
		out.text(badFormat)
		return
	}
	if int(number) > s.store.ClassCount() {
		out.text("CLIENT_ERROR Illegal slab id\r\n")
		return
	}
	s.listing = &listing{format: listItem, only: []int{int(number)}, most: uint64(most), room: cachedumpBound}
}

// cachedumpBound is how long the list of a cachedump gets: memcached's, 2 MiB, is as good
// as any.
const cachedumpBound = 2 << 20

// counted is the sum of all sessions' counters since the last reset.
func (srv *Server) counted() *counts {
	sum := new(counts)
	for _, t := range srv.tallies {
		t.mu.Lock()
		sum.add(&t.counts)
		t.mu.Unlock()
	}
	return sum
}

func (srv *Server) resetStats() {
	for _, t := range srv.tallies {
		t.mu.Lock()
		t.counts = counts{}
		t.mu.Unlock()
	}
	srv.store.ResetStats()
	srv.conns.total.Store(0)
	srv.conns.rejected.Store(0)
}

// report turns values into what say takes.
type report func(name, value string)

func (say report) number(name string, n uint64) { say(name, strconv.FormatUint(n, 10)) }

func (srv *Server) generalStats(say report) {
	c, st, classes := srv.counted(), srv.store.Stats(), srv.store.Classes()
	var evictions, unread, reclaimed, expired, noMemory uint64
	for _, class := range classes {
		if class.Side {
			continue
		}
		evictions += class.Evictions
		unread += class.EvictedUnread
		reclaimed += class.Reclaimed
		expired += class.Expired
		noMemory += class.OutOfMemory
	}
	user, system := processTimes()
	n := say.number
	n("pid", uint64(os.Getpid()))
	n("uptime", uint64(time.Since(srv.started)/time.Second))
	say("time", strconv.FormatInt(srv.store.Now(), 10))
	say("version", strings.TrimSuffix(strings.TrimPrefix(version, "VERSION "), "\r\n"))
	say("libevent", "none")
	say("pointer_size", strconv.Itoa(bits.UintSize))
	say("rusage_user", user)
	say("rusage_system", system)
	n("max_connections", uint64(srv.options.MaxConns))
	n("curr_connections", uint64(srv.conns.current.Load()))
	n("total_connections", srv.conns.total.Load())
	n("rejected_connections", srv.conns.rejected.Load())
	n("connection_structures", uint64(srv.conns.structures.Load()))
	n("response_obj_oom", 0)
	n("response_obj_count", 0)
	n("response_obj_bytes", uint64(srv.conns.held.Load()))
	n("read_buf_count", 0)
	n("read_buf_bytes", 0)
	n("read_buf_bytes_free", 0)
	n("read_buf_oom", 0)
	n("reserved_fds", 0)
	n("cmd_get", c.cmdGet)
	n("cmd_set", c.cmdSet)
	n("cmd_flush", c.cmdFlush)
	n("cmd_touch", c.cmdTouch)
	n("cmd_meta", c.cmdMeta)
	n("get_hits", c.getHits)
	n("get_misses", c.getMisses)
	n("get_expired", st.ExpiredHits)
	n("get_flushed", st.FlushedHits)
	n("delete_misses", c.deleteMisses)
	n("delete_hits", c.deleteHits)
	n("incr_misses", c.incrMisses)
	n("incr_hits", c.incrHits)
	n("decr_misses", c.decrMisses)
	n("decr_hits", c.decrHits)
	n("cas_misses", c.casMisses)
	n("cas_hits", c.casHits)
	n("cas_badval", c.casBadval)
	n("touch_hits", c.touchHits)
	n("touch_misses", c.touchMisses)
	n("store_too_large", c.storeTooLarge)
	n("store_no_memory", c.storeNoMemory)
	n("auth_cmds", c.authCmds)
	n("auth_errors", c.authErrors)
	if srv.options.IdleTimeout > 0 {
		n("idle_kicks", srv.conns.idleKicks.Load())
	}
	n("bytes_read", c.bytesRead)
	n("bytes_written", c.bytesWritten)
	n("limit_maxbytes", uint64(st.Limit))
	n("accepting_conns", oneIf(srv.conns.accepting.Load()))
	n("listen_disabled_num", srv.conns.disabled.Load())
	n("time_in_listen_disabled_us", uint64(srv.conns.disabledNs.Load()/1000))
	n("threads", uint64(srv.options.Threads))
	n("conn_yields", srv.conns.yields.Load())
	n("hash_power_level", uint64(bits.Len64(uint64(st.Buckets))-1))
	n("hash_bytes", uint64(st.IndexBytes))
	n("hash_is_expanding", 0)
	n("slab_reassign_rescues", 0)
	n("slab_reassign_chunk_rescues", 0)
	n("slab_reassign_inline_reclaim", 0)
	n("slab_reassign_busy_items", 0)
	n("slab_reassign_busy_deletes", 0)
	n("slab_reassign_busy_nomem", 0)
	say("slab_reassign_last_busy_status", "none")
	n("slab_reassign_running", 0)
	n("slabs_moved", st.PagesMoved)
	n("lru_crawler_running", 0)
	n("lru_crawler_starts", 0)
	n("lru_maintainer_juggles", 0)
	n("malloc_fails", noMemory)
	n("log_worker_dropped", srv.watchers.dropped.Load())
	n("log_worker_written", srv.watchers.written.Load())
	n("log_watcher_skipped", srv.watchers.skipped.Load())
	n("log_watcher_sent", srv.watchers.sent.Load())
	n("log_watchers", uint64(srv.watchers.count()))
	n("unexpected_napi_ids", 0)
	n("round_robin_fallback", 0)
	if srv.certs != nil {
		n("ssl_handshake_errors", srv.conns.handshakeErrors.Load())
		n("ssl_proto_errors", srv.conns.protocolErrors.Load())
		n("ssl_new_sessions", srv.conns.tlsSessions.Load())
		say("time_since_server_cert_refresh", strconv.FormatInt(int64(srv.certs.age()/time.Second), 10))
	}
	n("bytes", uint64(max(st.Bytes, 0)))
	n("curr_items", uint64(max(st.Items, 0)))
	n("total_items", st.TotalItems)
	n("slab_global_page_pool", 0)
	n("expired_unfetched", expired)
	n("evicted_unfetched", unread)
	n("evicted_active", 0)
	n("evictions", evictions)
	n("reclaimed", reclaimed)
	for _, name := range []string{
		"crawler_reclaimed", "crawler_items_checked", "lrutail_reflocked", "moves_to_cold",
		"moves_to_warm", "moves_within_lru", "direct_reclaims", "lru_bumps_dropped",
	} {
		n(name, 0)
	}
}

func oneIf(is bool) uint64 {
	if is {
		return 1
	}
	return 0
}

// processTimes are the process's user and system times, in seconds.
func processTimes() (user, system string) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return "0.000000", "0.000000"
	}
	write := func(tv syscall.Timeval) string { return fmt.Sprintf("%d.%06d", tv.Sec, tv.Usec) }
	return write(usage.Utime), write(usage.Stime)
}

func (srv *Server) leaseStats(say report) {
	l, st := srv.store.LeaseStats(), srv.store.Stats()
	say.number("tokens_granted", l.Granted)
	say.number("tokens_regranted", l.Regranted)
	say.number("tokens_without_memory", l.NoStub)
	say.number("hot_misses", l.HotMisses)
	say.number("fills", l.Filled)
	say.number("fills_refused", l.Refused)
	say.number("stale_hits", l.StaleHits)
	say.number("stale_bytes", uint64(max(st.StaleBytes, 0)))
	say.number("holdoff_refused", l.HoldoffRefused)
	say.number("holdoffs_displaced", l.HoldoffsDisplaced)
}

func (srv *Server) itemStats(say report) {
	for _, c := range srv.store.Classes() {
		if c.Items == 0 || c.Side {
			continue
		}
		n := func(name string, v uint64) { say.number("items:"+strconv.Itoa(c.Class)+":"+name, v) }
		n("number", uint64(c.Items))
		n("number_hot", 0)
		n("number_warm", 0)
		n("number_cold", uint64(c.Items))
		n("age_hot", 0)
		n("age_warm", 0)
		n("age", uint64(max(c.OldestAge, 0)))
		n("mem_requested", uint64(max(c.Bytes, 0)))
		n("evicted", c.Evictions)
		n("evicted_nonzero", c.EvictedWithTTL)
		n("evicted_time", uint64(max(c.OldestAge, 0)))
		n("outofmemory", c.OutOfMemory)
		n("tailrepairs", 0)
		n("reclaimed", c.Reclaimed)
		n("expired_unfetched", c.Expired)
		n("evicted_unfetched", c.EvictedUnread)
		for _, name := range []string{
			"evicted_active", "crawler_reclaimed", "crawler_items_checked", "lrutail_reflocked",
			"moves_to_cold", "moves_to_warm", "moves_within_lru", "direct_reclaims",
			"hits_to_hot", "hits_to_warm", "hits_to_cold", "hits_to_temp",
		} {
			n(name, 0)
		}
	}
}

func (srv *Server) slabStats(say report) {
	c, active, bytes := srv.counted(), 0, 0
	for _, class := range srv.store.Classes() {
		if class.Side || class.Pages == 0 {
			continue
		}
		active++
		bytes += class.Pages * cache.PageSize
		counts := &c.classes[class.Class]
		n := func(name string, v uint64) { say.number(strconv.Itoa(class.Class)+":"+name, v) }
		total := class.Pages * class.PerPage
		n("chunk_size", uint64(class.ChunkSize))
		n("chunks_per_page", uint64(class.PerPage))
		n("total_pages", uint64(class.Pages))
		n("total_chunks", uint64(total))
		n("used_chunks", uint64(class.UsedChunk))
		n("free_chunks", uint64(max(total-class.UsedChunk, 0)))
		n("free_chunks_end", 0)
		n("get_hits", counts.getHits)
		n("cmd_set", counts.cmdSet)
		n("delete_hits", counts.deleteHits)
		n("incr_hits", counts.incrHits)
		n("decr_hits", counts.decrHits)
		n("cas_hits", counts.casHits)
		n("cas_badval", counts.casBadval)
		n("touch_hits", counts.touchHits)
	}
	say("active_slabs", strconv.Itoa(active))
	say("total_malloced", strconv.Itoa(bytes))
}
