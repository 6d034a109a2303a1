package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mcsqueal/mcsqueal/cache/server"
)

// settings are what the flags say.
type settings struct {
	port, udpPort       int
	portGiven, udpGiven bool
	unixPath            string
	unixMask            os.FileMode
	listen              []string
	tls                 bool

	daemon   bool
	user     string
	pidFile  string
	core     bool // dump core
	lock     bool // lock memory
	verbose  int
	metrics  string
	answered string // by --help, --version or --license: print this and end

	memory        int64 // bytes
	itemMax       int
	memoryFile    string
	leaseInterval time.Duration
	staleTime     time.Duration
	staleGiven    bool

	serve server.Options

	// idle are the flags that were given and change nothing here.
	idle []string
}

func defaults() *settings {
	s := &settings{port: 11211, unixMask: 0o700, memory: 64 << 20, itemMax: 1 << 20, leaseInterval: 10 * time.Second}
	s.serve.Settings = make(map[string]string)
	return s
}

// whole reads a whole number of at least from, and at most to.
func whole(text string, from, to int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < from || n > to {
		return 0, usagef("%q is no whole number from %d to %d", text, from, to)
	}
	return n, nil
}

// intFlag makes a setter of a whole number.
func intFlag(from, to int64, set func(s *settings, n int)) func(*settings, string) error {
	return func(s *settings, arg string) error {
		n, err := whole(arg, from, to)
		if err == nil {
			set(s, int(n))
		}
		return err
	}
}

// idleFlag accepts a flag that changes nothing here, and remembers to say so. check, if
// any, refuses what memcached would refuse; setting is the name in `stats settings`, if
// it is there.
func idleFlag(name, setting string, check func(string) (string, error)) func(*settings, string) error {
	return func(s *settings, arg string) error {
		if check != nil {
			shown, err := check(arg)
			if err != nil {
				return err
			}
			arg = shown
		}
		s.idle = append(s.idle, name)
		if setting != "" {
			s.serve.Settings[setting] = arg
		}
		return nil
	}
}

// size reads bytes, with k or m behind them for kilobytes or megabytes.
func size(text string) (int64, error) {
	digits, unit := text, int64(1)
	if n := len(text); n > 0 {
		switch text[n-1] {
		case 'k', 'K':
			digits, unit = text[:n-1], 1<<10
		case 'm', 'M':
			digits, unit = text[:n-1], 1<<20
		}
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 0 {
		return 0, usagef("%q is no size; write bytes, or 512k, or 2m", text)
	}
	return n * unit, nil
}

// seconds reads whole seconds.
func seconds(text string) (time.Duration, error) {
	n, err := whole(text, 0, 1<<31-1)
	return time.Duration(n) * time.Second, err
}

func octal(text string) (os.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 12)
	if err != nil {
		return 0, usagef("%q is no octal number; write 700 or 770, for example", text)
	}
	return os.FileMode(n) & os.ModePerm, nil
}

// check looks at the settings as a whole, and completes what follows from others.
func (s *settings) check() error {
	switch {
	case s.itemMax < 1<<10:
		return usagef("-I: the largest item cannot be below 1024 bytes")
	case int64(s.itemMax) > s.memory/2:
		return usagef("-I: the largest item (%d bytes) cannot be larger than half of the memory (-m: %d bytes)", s.itemMax, s.memory)
	case s.itemMax > 1<<30:
		return usagef("-I: the largest item cannot be larger than 1024 megabytes")
	case s.serve.AuthFile != "" && s.udpPort > 0:
		return usagef("-Y: datagrams cannot say who sends them: no UDP (-U) together with an authentication file")
	}
	if s.udpGiven && s.udpPort != 0 && !s.portGiven {
		s.port = s.udpPort
	}
	if s.tls && s.port == 0 {
		return usagef("-Z: TLS needs a TCP port (-p)")
	}
	if s.serve.TLS.Chain == "" && s.tls {
		return usagef("-Z: TLS needs a certificate: -o ssl_chain_cert=FILE")
	}
	endpoints, err := s.endpoints()
	if err != nil {
		return err
	}
	o := &s.serve
	o.Endpoints = endpoints
	o.Memory, o.MaxItemSize, o.Verbosity = s.memory, s.itemMax, s.verbose
	set := func(name, value string) { o.Settings[name] = value }
	set("tcpport", strconv.Itoa(s.port))
	set("udpport", strconv.Itoa(s.udpPort))
	if len(s.listen) > 0 {
		set("inter", strings.Join(s.listen, ","))
	}
	if s.unixPath != "" {
		set("domain_socket", s.unixPath)
	}
	set("umask", fmt.Sprintf("%o", s.unixMask))
	if s.memoryFile != "" {
		set("memory_file", s.memoryFile)
	}
	return nil
}
