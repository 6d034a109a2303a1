package server

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcsqueal/mcsqueal/cache"
)

// What can be watched. memcached has more, of its proxy and its workings, which are
// accepted and never seen.
const (
	watchFetchers = 1 << iota
	watchMutations
	watchEvictions
	watchConnEvents
	watchDeletions
	watchOther
)

var watchWords = []struct {
	name string
	mask uint32
}{
	{"fetchers", watchFetchers}, {"mutations", watchMutations}, {"evictions", watchEvictions},
	{"sysevents", watchOther}, {"connevents", watchConnEvents}, {"proxyreqs", watchOther},
	{"proxyevents", watchOther}, {"proxyuser", watchOther}, {"deletions", watchDeletions},
	{"rawcmds", watchOther},
}

// watchers are the sessions that watch.
type watchers struct {
	// mask is what any of them watches. Whoever has something to tell looks here first.
	mask atomic.Uint32
	ids  atomic.Uint64

	written, dropped, sent, skipped atomic.Uint64

	mu  sync.Mutex
	all map[*watcher]struct{} // guarded by mu
}

// watcher is one session's watch. Lines that it does not send in time are dropped: it
// delays nobody.
type watcher struct {
	mask  uint32
	waker waker

	mu    sync.Mutex
	lines []byte // guarded by mu
	lost  uint64 // lines dropped since the last one that was kept; guarded by mu
}

// watcherBound is how many bytes of lines wait for a watcher.
const watcherBound = 256 << 10

// pending reports whether there are lines to send. A nil watcher has none.
func (w *watcher) pending() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lines) > 0
}

// watch is watch [WORD]…: from here on, the session is told what happens.
func (s *Session) watch(w *words, out *Output, first bool) {
	switch {
	case s.server.options.NoWatch:
		out.text("CLIENT_ERROR watch commands not allowed\r\n")
		return
	case !first:
		out.text("ERROR cannot pipeline other commands before watch\r\n")
		return
	case s.waker == nil:
		out.text("ERROR\r\n")
		return
	}
	mask := uint32(0)
	for word := w.next(); len(word) > 0; word = w.next() {
		bit := uint32(0)
		for _, known := range watchWords {
			if bytes.HasPrefix([]byte(known.name), word) {
				bit = known.mask
				break
			}
		}
		if bit == 0 {
			out.text("ERROR\r\n")
			return
		}
		mask |= bit
	}
	if mask == 0 {
		mask = watchFetchers
	}
	s.unwatch()
	one := &watcher{mask: mask, waker: s.waker}
	if !s.server.watchers.add(one, s.store) {
		out.text("WATCHER_TOO_MANY log watcher limit reached\r\n")
		return
	}
	s.watcher = one
	out.text("OK\r\n")
}

func (s *Session) unwatch() {
	if s.watcher != nil {
		s.server.watchers.remove(s.watcher, s.store)
		s.watcher = nil
	}
}

// maxWatchers is how many can watch at a time, as in memcached: whatever happens is
// written down for each of them.
const maxWatchers = 20

// add reports whether there was room for one more.
func (ws *watchers) add(w *watcher, store *cache.Store) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if len(ws.all) == maxWatchers {
		return false
	}
	if ws.all == nil {
		ws.all = map[*watcher]struct{}{}
	}
	ws.all[w] = struct{}{}
	ws.settle(store)
	return true
}

func (ws *watchers) remove(w *watcher, store *cache.Store) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.all, w)
	ws.settle(store)
}

// settle works out what anybody watches. mu is held.
func (ws *watchers) settle(store *cache.Store) {
	mask := uint32(0)
	for w := range ws.all {
		mask |= w.mask
	}
	ws.mask.Store(mask)
	if mask&watchEvictions == 0 {
		store.OnEvict(nil)
		return
	}
	store.OnEvict(func(it cache.Item) {
		ws.tell(watchEvictions, func(b []byte) []byte {
			b = appendKey(append(b, "type=eviction"...), it.Key())
			if it.Fetched() {
				b = append(b, " fetch=yes"...)
			} else {
				b = append(b, " fetch=no"...)
			}
			b = strconv.AppendInt(append(b, " ttl="...), max(it.TTL(), -1), 10)
			b = strconv.AppendInt(append(b, " la="...), max(it.Idle(), 0), 10)
			b = strconv.AppendInt(append(b, " clsid="...), int64(it.Class()), 10)
			return strconv.AppendInt(append(b, " size="...), int64(it.Size()), 10)
		})
	})
}

// count is how many watch.
func (ws *watchers) count() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.all)
}

// tell sends a line to those who watch for what bit says; line appends it.
func (ws *watchers) tell(bit uint32, line func([]byte) []byte) {
	if ws.mask.Load()&bit == 0 {
		return
	}
	now := time.Now()
	var room [512]byte
	b := append(room[:0], "ts="...)
	b = strconv.AppendInt(b, now.Unix(), 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(now.Nanosecond()/1000), 10)
	b = strconv.AppendUint(append(b, " gid="...), ws.ids.Add(1), 10)
	b = append(line(append(b, ' ')), '\n')
	ws.written.Add(1)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		if w.mask&bit == 0 {
			continue
		}
		w.mu.Lock()
		if len(w.lines)+len(b) > watcherBound {
			w.lost++
			ws.skipped.Add(1)
			w.mu.Unlock()
			continue
		}
		if w.lost > 0 {
			w.lines = append(strconv.AppendUint(append(w.lines, "skipped="...), w.lost, 10), '\n')
			w.lost = 0
		}
		quiet := len(w.lines) == 0
		w.lines = append(w.lines, b...)
		w.mu.Unlock()
		ws.sent.Add(1)
		if quiet {
			w.waker.wake()
		}
	}
}

// drain appends what a watcher has to say.
func (w *watcher) drain(out *Output) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out.Bytes = append(out.Bytes, w.lines...)
	w.lines = w.lines[:0]
}

func appendKey(b, key []byte) []byte { return appendEscaped(append(b, " key="...), key) }

func (s *Session) watchNothing() bool { return s.server.watchers.mask.Load() == 0 }

// note tells watchers of an item that was read or deleted.
func (s *Session) note(bit uint32, it cache.Item, command string) {
	if s.watchNothing() {
		return
	}
	s.server.watchers.tell(bit, func(b []byte) []byte {
		if bit == watchDeletions {
			b = appendKey(append(b, "type=deleted"...), it.Key())
			b = append(append(b, " cmd="...), command...)
		} else {
			b = appendKey(append(b, "type=item_get"...), it.Key())
			b = append(b, " status=found"...)
		}
		b = strconv.AppendInt(append(b, " clsid="...), int64(it.Class()), 10)
		if bit != watchDeletions {
			b = strconv.AppendInt(append(b, " cfd="...), int64(s.fd), 10)
		}
		return strconv.AppendInt(append(b, " size="...), int64(it.Size()), 10)
	})
}

// noteMiss tells watchers of a key that was not there.
func (s *Session) noteMiss(key []byte) {
	if s.watchNothing() {
		return
	}
	s.server.watchers.tell(watchFetchers, func(b []byte) []byte {
		b = append(appendKey(append(b, "type=item_get"...), key), " status=not_found clsid=0 cfd="...)
		return append(strconv.AppendInt(b, int64(s.fd), 10), " size=0"...)
	})
}

// noteStore tells watchers of the value of p, which was stored or refused.
func (s *Session) noteStore(e *cache.Entry, p *pending, answer string) {
	if s.watchNothing() {
		return
	}
	status, mode := "not_stored", p.mode
	if p.meta && p.request.given('C') && (mode == storeSet || mode == storeReplace) {
		mode = storeCAS
	}
	switch answer {
	case "STORED\r\n", "HD":
		status = "stored"
	case "EXISTS\r\n", "EX":
		status = "exists"
	case notFound, "NF":
		status = "not_found"
	}
	command := [...]string{"set", "add", "replace", "append", "prepend", "cas", "lease-set"}[mode]
	it, stored := e.Stored()
	if status != "stored" || !stored {
		it = p.draft.Item()
	}
	s.tellStore(e.Key(), it, status, command)
}

// tellStore tells watchers that a command stored an item, or did not.
func (s *Session) tellStore(key []byte, it cache.Item, status, command string) {
	s.server.watchers.tell(watchMutations, func(b []byte) []byte {
		b = appendKey(append(b, "type=item_store"...), key)
		b = append(append(b, " status="...), status...)
		b = append(append(b, " cmd="...), command...)
		ttl := uint32(0) // never
		if it.Exptime() != 0 {
			ttl = uint32(it.TTL()) // past, it is a large number, as in memcached
		}
		b = strconv.AppendUint(append(b, " ttl="...), uint64(ttl), 10)
		b = strconv.AppendInt(append(b, " clsid="...), int64(it.Class()), 10)
		b = strconv.AppendInt(append(b, " cfd="...), int64(s.fd), 10)
		return strconv.AppendInt(append(b, " size="...), int64(it.Size()), 10)
	})
}
