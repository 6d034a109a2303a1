package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcsqueal/mcsqueal/integration/build"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// world is everything that is tormented. East is two caches behind two routers, each
// of which sends every delete to both; west is two plain servers, one of them of
// another age; north is one server with second deletes. The daemon reaches nothing
// but through wires, and so do the routers.
type world struct {
	seed      uint64
	dir       string
	db        *servers.Database
	caches    []*cache
	routers   []*servers.Memcached
	source    *wire   // from the daemon to the server
	wires     []*wire // from the daemon to routers and servers, from routers to caches
	daemon    *daemon
	chronicle *chronicle
	// deaf counts what keeps the source from being reached.
	deaf atomic.Int32
	// recovering is until when, in nanoseconds since 1970, a source that was out of
	// reach may still look so to who asked before.
	recovering atomic.Int64
	settings   settings
	// deciding is held while an XA transaction is decided upon, by many, and while
	// MariaDB is killed, by one: see kill.
	deciding sync.RWMutex
}

// settings are what differs from seed to seed.
type settings struct {
	logBytes   string
	redelete   time.Duration
	timeout    time.Duration
	refusedMax int
	window     int
	binlog     string // how large a log file may get
	compressed bool   // MariaDB's log is
}

func newSettings(seed uint64) settings {
	random := rand.New(rand.NewPCG(seed, 0))
	s := settings{
		timeout:    []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}[random.IntN(3)],
		refusedMax: []int{20, 1000, 100_000}[random.IntN(3)],
		window:     1 + random.IntN(8),
		binlog:     []string{"64K", "1M", "1G"}[random.IntN(3)],
		compressed: random.IntN(2) == 0,
	}
	// Second deletes pace the catching up: a Log for them holds a sixteenth of this, and
	// lets it through once in their delay.
	switch random.IntN(4) {
	case 0:
		s.logBytes, s.redelete = "64KiB", 20*ms
	case 1:
		s.logBytes, s.redelete = "256KiB", 20*ms
	case 2:
		s.logBytes, s.redelete = "1MiB", 100*ms
	default:
		s.logBytes, s.redelete = "64MiB", 1000*ms
	}
	return s
}

func (s settings) String() string {
	text := fmt.Sprintf("log_bytes %s, redelete_after %v, timeout %v, refused_max %d, window %d, log files of %s",
		s.logBytes, s.redelete, s.timeout, s.refusedMax, s.window, s.binlog)
	if s.compressed {
		text += ", MariaDB's log compressed"
	}
	return text
}

const (
	user     = "mcsqueal"
	password = "correct horse"
)

// newWorld starts everything but the daemon.
func newWorld(ctx context.Context, o options, dir string) (_ *world, err error) {
	w := &world{seed: o.seed, dir: dir, chronicle: &chronicle{}, settings: newSettings(o.seed)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	program := o.program
	starting, startCtx := errgroup.WithContext(ctx)
	if program == "" {
		starting.Go(func() (err error) {
			var flags []string
			if o.race {
				flags = append(flags, "-race")
			}
			program, err = build.Command(startCtx, dir, "mcsqueal", flags...)
			return err
		})
	}
	starting.Go(func() (err error) {
		w.db, err = startDatabase(startCtx, o.kind, w.settings)
		return err
	})
	starting.Go(func() error { return w.startCaches(startCtx) })
	if err := starting.Wait(); err != nil {
		return nil, err
	}
	if w.source, err = newWire("source", w.db.Addr()); err != nil {
		return nil, err
	}
	if w.daemon, err = newDaemon(program, dir, w.chronicle); err != nil {
		return nil, err
	}
	w.daemon.excused = w.outOfReach
	w.daemon.logFiles = w.db.LogFiles
	w.daemon.forgetful = o.forgetful
	return w, w.configure()
}

// startDatabase starts a server that keeps what it has confirmed when it is killed:
// what it has written, the system has.
func startDatabase(ctx context.Context, kind servers.Kind, s settings) (*servers.Database, error) {
	c := servers.Config{Args: []string{
		"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--max-binlog-size=" + s.binlog,
	}}
	if kind == servers.KindMariaDB && s.compressed {
		c.Args = append(c.Args, "--log-bin-compress=ON", "--log-bin-compress-min-len=64")
	}
	db, err := servers.StartDatabase(ctx, kind, c)
	if err != nil {
		return nil, err
	}
	statements := []string{
		"CREATE USER '" + user + "'@'%' IDENTIFIED BY '" + password + "'",
		"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '" + user + "'@'%'",
		"CREATE TABLE writes (id BIGINT PRIMARY KEY, note VARCHAR(40) NOT NULL)",
	}
	if kind == servers.KindMySQL {
		statements = append(statements, "GRANT XA_RECOVER_ADMIN ON *.* TO '"+user+"'@'%'")
	}
	for _, statement := range statements {
		if _, err := db.DB().ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %s: %w", db, statement, err), db.Close())
		}
	}
	return db, nil
}

// startCaches starts the caches, the routers before some, and the wires to all.
func (w *world) startCaches(ctx context.Context) error {
	for _, name := range []string{"east/1", "east/2", "west/1", "west/2", "north/1"} {
		c, err := newCache(ctx, name, name == "west/2")
		if err != nil {
			return err
		}
		w.caches = append(w.caches, c)
		if err := w.lead(name, c.Addr()); err != nil {
			return err
		}
	}
	var east []string
	for _, wire := range w.wires[:2] {
		east = append(east, wire.addr())
	}
	for n := range 2 {
		router, err := servers.StartProxy(ctx, servers.ProxyConfig{Backends: east, All: true, Args: []string{"-c", "8192"}})
		if err != nil {
			return err
		}
		w.routers = append(w.routers, router)
		if err := w.lead(fmt.Sprintf("router/%d", n+1), router.Addr()); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) lead(name, addr string) error {
	wire, err := newWire(name, addr)
	if err == nil {
		w.wires = append(w.wires, wire)
	}
	return err
}

// configure writes the daemon's configuration, and one for looking at the log
// directly.
func (w *world) configure() error {
	at := make(map[string]string)
	for _, wire := range w.wires {
		at[wire.name] = wire.addr()
	}
	s := w.settings
	common := fmt.Sprintf("timeout: %v, window: %d, refused_max: %d", s.timeout, s.window, s.refusedMax)
	clusters := fmt.Sprintf(`clusters:
  - {name: east, routers: [%s, %s], %s}
  - {name: west, servers: [%s, %s], %s}
  - {name: north, servers: [%s], redelete_after: [%v], linger: 1ms, %s}
admin: {listen: ""}
`, at["router/1"], at["router/2"], common, at["west/1"], at["west/2"], common, at["north/1"], s.redelete, common)
	for file, source := range map[string]string{"mcsqueal.yaml": w.source.addr(), "direct.yaml": w.db.Addr()} {
		scheme, _, _ := strings.Cut(w.db.URL(), "://")
		text := fmt.Sprintf("source: {url: %q}\nstate_dir: %q\nlog_bytes: %s\n%s",
			scheme+"://"+user+"@"+source, w.daemon.state, s.logBytes, clusters)
		if err := os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write mcsqueal's configuration: %w", err)
		}
	}
	return nil
}

// newLinks are links to all caches.
func (w *world) newLinks() []*link {
	links := make([]*link, len(w.caches))
	for i, c := range w.caches {
		links[i] = &link{addr: c.Addr()}
	}
	return links
}

func closeLinks(links []*link) {
	for _, l := range links {
		_ = l.close() // nothing is owed on it
	}
}

// fill sets all keys of a write in all caches.
func (w *world) fill(ctx context.Context, links []*link, next *write) {
	for i, c := range w.caches {
		c.fill(ctx, links[i], next)
	}
}

// deafen says that the source cannot be reached, until what it returns is called.
func (w *world) deafen() (over func()) {
	w.deaf.Add(1)
	return func() {
		w.recovering.Store(time.Now().Add(reachAgain).UnixNano())
		w.deaf.Add(-1)
	}
}

// reachAgain is how long a start that found the source out of reach may take to say
// so: mcsqueal's time-out for a connection and a statement each, and as much again and
// more for a busy machine.
const reachAgain = time.Minute

// outOfReach tells whether a start may just have failed for want of a source.
func (w *world) outOfReach() bool {
	return w.deaf.Load() > 0 || time.Now().UnixNano() < w.recovering.Load()
}

// close ends everything; what it wrote in dir stays.
func (w *world) close() error {
	var failed []error
	if w.daemon != nil {
		failed = append(failed, w.daemon.close())
	}
	for _, wire := range append(w.wires, w.source) {
		if wire != nil {
			wire.close()
		}
	}
	for _, r := range w.routers {
		failed = append(failed, r.Close())
	}
	for _, c := range w.caches {
		failed = append(failed, c.Close())
	}
	if w.db != nil {
		failed = append(failed, w.db.Close())
	}
	return errors.Join(failed...)
}
