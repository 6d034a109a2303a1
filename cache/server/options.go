package server

import (
	"os"
	"time"
)

// Options say how a server is to serve. Zero values are memcached's defaults where
// nothing else is said.
type Options struct {
	// Endpoints are where to listen. At least one, or Inherited.
	Endpoints []Endpoint
	// Inherited are sockets that are listening already, from systemd for example. The
	// server closes them.
	Inherited []*os.File
	// InheritedTLS is those sockets' TLS.
	InheritedTLS TLSMode
	// Backlog is how many connections may wait to be accepted. 0: 1024.
	Backlog int
	// Threads is how many event loops serve connections. 0: 4.
	Threads int

	// MaxConns bounds connections. 0: 1024.
	MaxConns int
	// WaitAtLimit leaves connections beyond MaxConns waiting in the backlog. Otherwise
	// they are told so and closed.
	WaitAtLimit bool
	// IdleTimeout closes connections from which nothing has come for so long, except
	// those that watch. 0: never.
	IdleTimeout time.Duration
	// DrainTimeout bounds the time for which answers are still sent once the server
	// stops. 0: 5 seconds.
	DrainTimeout time.Duration
	// Memory is the store's size. What clients that do not read, or do not finish what
	// they send, may hold of it is bounded by an eighth of this. 0: 64 MiB.
	Memory int64

	// AuthFile names the file of users and passwords for the text protocol; empty:
	// anybody may come in.
	AuthFile string
	// TLS is for the endpoints that want it.
	TLS TLSOptions

	// MaxItemSize bounds a value, with its key and header. 0: 1 MiB.
	MaxItemSize int
	// Verbosity is how often -v was given.
	Verbosity int
	// Shutdown enables the shutdown command.
	Shutdown bool
	// NoFlush, NoDump and NoWatch disable flush_all, listings of keys, and watch.
	NoFlush, NoDump, NoWatch bool
	// NoCAS stores no version of items. Leases then do not work.
	NoCAS bool
	// NoEvictions answers errors when memory is full, instead of evicting.
	NoEvictions bool

	// Settings are what `stats settings` is to say of settings that change nothing
	// here, as they were given. Those that are missing have memcached's defaults.
	Settings map[string]string

	// slowSeconds is for how long a connection may hold memory and move next to nothing,
	// when there is too little left.
	slowSeconds uint32
	// lingerSeconds is for how long what a client says is discarded once all has been said
	// to it.
	lingerSeconds uint32
	// heldBound is how many bytes of unfinished commands and unsent answers all
	// connections together may keep, before those that hold them in vain are closed.
	// Twice as much is kept of none, whoever they are.
	heldBound int64
}

// Endpoint is a place to listen.
type Endpoint struct {
	// Network is tcp, unix or udp.
	Network string
	// Host is a name or an address, of which every one is listened on, and empty for
	// all; Port may be 0 for any that is free. Both are for tcp and udp.
	Host string
	Port int
	// Path and Mask are a Unix socket's file and its permissions.
	Path string
	Mask os.FileMode
	// TLS says whether connections are encrypted, and what is asked of a client.
	TLS TLSMode
	// Tag names the endpoint in listings.
	Tag string
}

func (o Options) withDefaults() Options {
	def := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	def(&o.Backlog, 1024)
	def(&o.Threads, 4)
	def(&o.MaxConns, 1024)
	def(&o.MaxItemSize, 1<<20)
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 5 * time.Second
	}
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	if o.slowSeconds == 0 {
		o.slowSeconds = 10
	}
	if o.lingerSeconds == 0 {
		o.lingerSeconds = 2
	}
	if o.heldBound == 0 {
		o.heldBound = 8 << 20
	}
	return o
}
