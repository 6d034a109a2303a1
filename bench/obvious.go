package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/go-mysql-org/go-mysql/canal"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/mcsqueal/mcsqueal/binlog/binlogtest"
	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// benchObvious delivers a MySQL's log beside the program that one would write in an
// afternoon: go-mysql's canal, a regular expression, and one Delete a key.
func benchObvious(ctx context.Context, w *workbench) (err error) {
	keys := w.scaled(200_000)
	const perTx = 20
	d, file, err := serverWithLog(ctx, w, servers.KindMySQL, func(path string, c binlogtest.Config) error {
		return keyFile(path, c, keys, perTx)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	cache, err := servers.StartMemcached(ctx, servers.MemcachedConfig{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	rate := func(d time.Duration) float64 { return float64(keys) / d.Seconds() }
	results, err := interleave(ctx, 3,
		side{"mcsqueal replay", once(func(ctx context.Context) (float64, error) {
			took, err := w.replay(ctx, keys, "--source="+d.URL(), "--from=oldest", "--cluster=c="+cache.Addr())
			return rate(took), err
		})},
		side{"canal and gomemcache", once(func(ctx context.Context) (float64, error) {
			took, err := obvious(ctx, d.Addr(), file, cache.Addr(), keys)
			return rate(took), err
		})},
	)
	if err != nil {
		return err
	}
	w.table.compare("from MySQL into memcached", "keys/s", results[0][0], "canal and gomemcache", results[1][0], target{})
	w.table.note("%s keys, %d in a transaction, from a server's log, since canal reads no files.", number(float64(keys)), perTx)
	return nil
}

// obvious runs the obvious program until it has deleted so many keys.
func obvious(ctx context.Context, addr, file, cache string, keys int) (time.Duration, error) {
	began := time.Now()
	c := canal.NewDefaultConfig()
	c.Addr, c.User, c.Password, c.ServerID = addr, "root", "", 73
	c.Dump.ExecutionPath = "" // the log alone
	c.Logger = slog.New(slog.DiscardHandler)
	log, err := canal.NewCanal(c)
	if err != nil {
		return 0, fmt.Errorf("canal: %w", err)
	}
	h := &obviousHandler{client: memcache.New(cache), left: keys, done: make(chan error, 1)}
	log.SetEventHandler(h)
	ended := make(chan struct{})
	var failed error // to be read after ended
	go func() {
		defer close(ended)
		failed = log.RunFrom(mysql.Position{Name: file, Pos: 4})
	}()
	var took time.Duration
	select {
	case err = <-h.done:
		took = time.Since(began)
		log.Close()
		<-ended
	case <-ended:
		err = failed
		log.Close()
	case <-ctx.Done():
		err = context.Cause(ctx)
		log.Close()
		<-ended
	}
	if err = errors.Join(err, h.client.Close()); err != nil {
		return 0, fmt.Errorf("canal: %w", err)
	}
	if took == 0 {
		return 0, errors.New("canal ended before the last key")
	}
	return took, nil
}

type obviousHandler struct {
	canal.DummyEventHandler
	client *memcache.Client
	left   int
	done   chan error
}

var obviousTag = regexp.MustCompile(`/\* mc:([^*]*)\*/`)

// OnRowsQueryEvent implements canal.EventHandler.
func (h *obviousHandler) OnRowsQueryEvent(e *replication.RowsQueryEvent) error {
	tag := obviousTag.FindSubmatch(e.Query)
	if tag == nil || h.left == 0 {
		return nil
	}
	for _, key := range strings.Fields(string(tag[1])) {
		if err := h.client.Delete(key); err != nil && !errors.Is(err, memcache.ErrCacheMiss) {
			h.left = 0
			h.done <- err
			return err
		}
		h.left--
	}
	if h.left == 0 {
		h.done <- nil
	}
	return nil
}
