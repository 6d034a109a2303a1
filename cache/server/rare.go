package server

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// rare answers the commands that are for people and not for traffic.
func (s *Session) rare(line []byte, out *Output, first bool) {
	w := words{line: line}
	name := w.next()
	quiet := noreply(line)
	from := out.mark()
	switch string(name) {
	case "flush_all":
		out.text(s.flushAll(&w))
	case "verbosity":
		if n, ok := unsigned32(w.next()); !ok {
			out.text(badFormat)
		} else {
			s.server.verbosity.Store(int32(min(n, math.MaxInt32)))
			out.text("OK\r\n")
		}
	case "shutdown":
		out.text(s.shutdown(&w))
	case "cache_memlimit":
		out.text(s.memoryLimit(&w))
	case "lru_crawler":
		s.crawler(&w, out, first)
	case "lru":
		out.text(lru(&w))
	case "slabs":
		out.text(s.slabs(&w))
	case "extstore":
		out.text("ERROR\r\n")
	case "refresh_certs":
		switch err := s.server.refreshCerts(); {
		case errors.Is(err, errNoTLS):
			out.text("Error TLS not enabled\r\n")
		case err != nil:
			out.text("Error " + oneLine(err) + "\r\n")
		default:
			out.text("OK\r\n")
		}
	case "watch":
		s.watch(&w, out, first)
		return
	default:
		if last := lastWord(line); bytes.HasPrefix(last, []byte("HTTP/")) {
			// A browser, or somebody who makes one speak to us.
			s.closing = true
			return
		}
		out.text("ERROR\r\n")
	}
	if quiet {
		out.takeBack(from, s.store)
	}
}

// oneLine is an error's text as it can stand in an answer.
func oneLine(err error) string {
	return string(bytes.ReplaceAll([]byte(err.Error()), []byte("\n"), []byte("; ")))
}

func lastWord(line []byte) []byte {
	line = bytes.TrimRight(line, " ")
	return line[bytes.LastIndexByte(line, ' ')+1:]
}

// flushAll is flush_all [SECONDS]. At once or later, it takes everything that was stored
// before, and nothing else.
func (s *Session) flushAll(w *words) string {
	s.tally.cmdFlush++
	if s.server.options.NoFlush {
		return "CLIENT_ERROR flush_all not allowed\r\n"
	}
	word := w.next()
	if len(word) == 0 || string(word) == "noreply" {
		s.store.Flush()
		return "OK\r\n"
	}
	seconds, ok := signed32(word)
	if !ok {
		return badExptime
	}
	if seconds <= 0 {
		s.store.Flush()
	} else {
		s.store.FlushAt(s.store.Expiry(int64(seconds)))
	}
	return "OK\r\n"
}

// shutdown is shutdown [graceful].
func (s *Session) shutdown(w *words) string {
	mode := string(w.next())
	switch {
	case !s.server.options.Shutdown:
		return "SERVER_ERROR: shutdown not enabled\r\n"
	case mode != "" && mode != "graceful":
		return "CLIENT_ERROR invalid shutdown mode\r\n"
	}
	s.closing = true
	s.server.Shutdown()
	return ""
}

// memoryLimit is cache_memlimit MEBIBYTES.
func (s *Session) memoryLimit(w *words) string {
	n, ok := unsigned32(w.next())
	switch {
	case !ok:
		return "ERROR\r\n"
	case n < 8:
		return "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
	case n > 1_000_000_000:
		return "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
	}
	if !s.store.SetMemory(int64(n) << 20) {
		return fmt.Sprintf("MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust: this server can have %d at most\r\n", s.store.MaxMemory()>>20)
	}
	return "OK\r\n"
}

// crawler is lru_crawler …. Items that expire are freed by the second here, without a
// crawl: of its commands those that list keys do something, the others are accepted.
func (s *Session) crawler(w *words, out *Output, first bool) {
	verb, argument := string(w.next()), w.next()
	extra := len(w.next()) > 0
	switch {
	case verb == "metadump" || verb == "mgdump":
		if len(argument) == 0 || extra {
			out.text("ERROR\r\n")
			return
		}
		s.dump(verb == "mgdump", argument, out, first)
	case extra:
		out.text("ERROR\r\n")
	case verb == "enable" && len(argument) == 0:
		if s.server.crawlerOff.CompareAndSwap(true, false) {
			out.text("OK\r\n")
		} else {
			out.text("ERROR failed to start lru crawler thread\r\n")
		}
	case verb == "disable" && len(argument) == 0:
		s.server.crawlerOff.Store(true)
		out.text("OK\r\n")
	case verb == "crawl" && len(argument) > 0:
		if s.server.crawlerOff.Load() {
			out.text("CLIENT_ERROR lru crawler disabled\r\n")
		} else if _, ok := s.classList(argument); !ok {
			out.text("BADCLASS invalid class id\r\n")
		} else {
			out.text("OK\r\n")
		}
	case verb == "tocrawl" && len(argument) > 0:
		if _, ok := unsigned32(argument); !ok {
			out.text(badFormat)
		} else {
			out.text("OK\r\n")
		}
	case verb == "sleep" && len(argument) > 0:
		if n, ok := unsigned32(argument); !ok {
			out.text(badFormat)
		} else if n > 1_000_000 {
			out.text("CLIENT_ERROR sleep must be one second or less\r\n")
		} else {
			out.text("OK\r\n")
		}
	default:
		out.text("ERROR\r\n")
	}
}

// lru is lru mode|tune|temp_ttl …, which change nothing here: the queue has no segments.
func lru(w *words) string {
	verb, argument := string(w.next()), w.next()
	if len(argument) == 0 {
		return "ERROR\r\n"
	}
	switch verb {
	case "mode", "m":
		if p := string(argument); p != "" && (bytes.HasPrefix([]byte("flat"), argument) || bytes.HasPrefix([]byte("segmented"), argument)) {
			return "OK\r\n"
		}
	case "tune":
		warm, hotFactor, warmFactor := w.next(), w.next(), w.next()
		hot, okHot := unsigned32(argument)
		n, okWarm := unsigned32(warm)
		f1, err1 := strconv.ParseFloat(string(hotFactor), 64)
		f2, err2 := strconv.ParseFloat(string(warmFactor), 64)
		switch {
		case !okHot || !okWarm || err1 != nil || err2 != nil:
		case hot+n > 80:
			return "ERROR hot and warm pcts must not exceed 80\r\n"
		case f1 <= 0 || f2 <= 0:
			return "ERROR hot/warm age factors must be greater than 0\r\n"
		default:
			return "OK\r\n"
		}
	case "temp_ttl":
		if _, ok := signed32(argument); ok {
			return "OK\r\n"
		}
	}
	return "ERROR\r\n"
}

// slabs is slabs reassign|automove …: pages move between classes by themselves.
func (s *Session) slabs(w *words) string {
	verb, argument, value := string(w.next()), w.next(), w.next()
	switch {
	case verb == "reassign" && len(value) > 0:
		from, okFrom := signed32(argument)
		to, okTo := signed32(value)
		switch {
		case !okFrom || !okTo:
			return badFormat
		case from == to:
			return "SAME src and dst class are identical\r\n"
		case int(from) > s.store.ClassCount() || int(to) > s.store.ClassCount() || to < 1:
			return "BADCLASS invalid src or dst class id\r\n"
		case from >= 0:
			return "NOSPARE source class has no spare pages\r\n"
		}
		return "OK\r\n"
	case verb == "automove" && string(argument) == "ratio" && len(value) > 0:
		if _, err := strconv.ParseFloat(string(value), 64); err == nil {
			return "OK\r\n"
		}
	case verb == "automove" && string(argument) == "freeratio" && len(value) > 0:
		if _, err := strconv.ParseFloat(string(value), 64); err == nil {
			return "OK\r\n"
		}
	case verb == "automove" && string(argument) == "window" && len(value) > 0:
		switch n, ok := unsigned32(value); {
		case !ok:
			return badFormat
		case n < 2:
			return "CLIENT_ERROR automove window too low or too high\r\n"
		}
		return "OK\r\n"
	case verb == "automove" && (string(argument) == "ratio" || string(argument) == "freeratio" || string(argument) == "window"):
	case verb == "automove" && len(argument) > 0:
		switch n, ok := unsigned32(argument); {
		case !ok:
			return badFormat
		case n <= 2:
			return "OK\r\n"
		}
	}
	return "ERROR\r\n"
}
