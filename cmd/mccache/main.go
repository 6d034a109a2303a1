// Command mccache is a cache server for memcached's clients: it takes memcached's flags
// and speaks its protocols, and has leases. docs/cache.md says how to move to it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/cache"
	"github.com/mcsqueal/mcsqueal/cache/server"
	"github.com/mcsqueal/mcsqueal/release"
)

// Exit statuses; those above 1 are of sysexits.h, as memcached's.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 64
	exitNoUser = 67
	exitSystem = 71
)

// heapGrowth is how far the heap may grow, in percent, before what is no longer used is
// given back. Items are not on it and requests allocate nothing, so it is small and is
// rarely looked through; the usual 100 would double what many connections take.
const heapGrowth = 25

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	status := run(ctx, os.Args[1:], environment{
		stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, reload: reload, process: thisProcess{},
	})
	stop()
	os.Exit(status)
}

// environment is what the command takes from the process around it.
type environment struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	reload         <-chan os.Signal
	process        process
}

// usageError is a mistake of whoever called the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// statusError is an error with an exit status of its own.
type statusError struct {
	error
	status int
}

func (e statusError) Unwrap() error { return e.error }

func status(err error) int {
	var usage usageError
	var other statusError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &other):
		return other.status
	default:
		return exitFailed
	}
}

// run is the whole command: it returns the exit status.
func run(ctx context.Context, args []string, env environment) int {
	s := defaults()
	words, err := parseFlags(allFlags(), args, s)
	if err == nil && s.answered != "" {
		_, err = fmt.Fprint(env.stdout, s.answered)
		return status(err)
	}
	if err == nil {
		err = s.check()
	}
	if err == nil {
		err = start(ctx, s, args, words, env)
	}
	if err != nil {
		fmt.Fprintf(env.stderr, "mccache: %v\n", err)
	}
	return status(err)
}

// start goes into the background, where that is asked for, and serves.
func start(ctx context.Context, s *settings, args, words []string, env environment) error {
	report := env.process.parent(env.getenv)
	if s.daemon && report == nil {
		return daemonize(ctx, s, args, env)
	}
	logger := newLogger(env.stderr, s.verbose)
	if len(s.idle) > 0 {
		logger.Warn("flags of memcached that change nothing here", "flags", strings.Join(s.idle, " "))
	}
	if len(words) > 0 {
		logger.Warn("words that belong to no flag are ignored, as memcached ignores them", "words", strings.Join(words, " "))
	}
	err := serve(ctx, s, env, logger, report)
	report.failed(err)
	return err
}

// newLogger writes to standard error, as much as -v says.
func newLogger(w io.Writer, verbose int) *slog.Logger {
	level := slog.LevelInfo
	if verbose > 0 {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// serve is the server's life, from taking what it needs of the system to giving it back.
func serve(ctx context.Context, s *settings, env environment, logger *slog.Logger, report *report) (err error) {
	if s.serve.Inherited, err = env.process.inherited(env.getenv, report != nil); err != nil {
		return err
	}
	if len(s.serve.Inherited) > 0 {
		s.serve.Endpoints = nil // the sockets are instead of them
		if s.tls {
			s.serve.InheritedTLS = server.TLSDefault
		}
	}
	if err := env.process.prepare(s, logger); err != nil {
		return err
	}
	if env.getenv("GOMAXPROCS") == "" {
		// Each event loop keeps one of Go's processors while it is busy; there must be
		// others for accepting, expiring and metrics.
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), threads(s)+2))
	}
	store, err := cache.New(s.store())
	if err != nil {
		return statusError{err, exitSystem}
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	sayKept(s, store, logger)
	srv, err := server.New(s.serve, store, logger)
	if err != nil {
		return statusError{err, exitSystem}
	}
	metrics, err := startMetrics(ctx, s.metrics, srv, logger)
	if err != nil {
		return errors.Join(statusError{err, exitSystem}, srv.Close())
	}
	defer metrics.close()
	if err := announce(s, env, srv); err != nil {
		return errors.Join(statusError{err, exitSystem}, srv.Close())
	}
	defer func() { err = errors.Join(err, removePID(s.pidFile)) }()
	var addrs []string
	for _, a := range srv.Addrs() {
		addrs = append(addrs, a.Network()+"://"+a.String())
	}
	logger.Info("serving", "listen", strings.Join(addrs, " "), "memory", store.Stats().Limit, "version", release.Version())
	report.ready()
	manager := startService(ctx, env, logger)
	stopped := make(chan struct{})
	reloading := reloadOn(env.reload, stopped, srv, manager, logger)
	err = srv.Run(ctx)
	close(stopped)
	<-reloading
	manager.stop()
	logger.Info("stopped")
	return err
}

// sayKept says what of the memory file was taken over, and why nothing was.
func sayKept(s *settings, store *cache.Store, logger *slog.Logger) {
	switch why := store.Cold(); {
	case s.memoryFile == "":
	case why != "":
		logger.Warn("the cache begins empty", "reason", why)
	default:
		logger.Info("took over what the memory file keeps", "file", s.memoryFile, "items", store.Stats().Items)
	}
}

func threads(s *settings) int {
	if s.serve.Threads == 0 {
		return 4
	}
	return s.serve.Threads
}

// defaultStaleTime is how long deleted values can be had as stale ones.
const defaultStaleTime = 10 * time.Second

// store is how the settings want the store.
func (s *settings) store() cache.Config {
	config := cache.Config{
		Memory: s.memory, MaxItem: s.itemMax, NoEviction: s.serve.NoEvictions,
		LeaseInterval: s.leaseInterval, StaleTime: defaultStaleTime, File: s.memoryFile, Lock: s.lock,
	}
	if s.staleGiven {
		config.StaleTime = s.staleTime
	}
	return config
}

// reloadOn reads files again at every signal, until stopped is closed.
func reloadOn(signals <-chan os.Signal, stopped <-chan struct{}, srv *server.Server, manager *service, logger *slog.Logger) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-signals:
				manager.reload(func() {
					if err := srv.Reload(); err != nil {
						logger.Error("what was to be read again cannot be read; what was known stays in force", "error", err)
						return
					}
					logger.Info("read the authentication file and the certificates again")
				})
			case <-stopped:
				return
			}
		}
	}()
	return done
}
