package memcache

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcsqueal/mcsqueal/backoff"
	"github.com/mcsqueal/mcsqueal/batcher"
	"github.com/mcsqueal/mcsqueal/mcconn"
	"github.com/mcsqueal/mcsqueal/mcproto"
)

// flight is a batch between the cursor and its acknowledgement: from the log, or
// of keys that were refused before.
type flight struct {
	batch batcher.Batch // from the log
	retry []*refusedKey // or these
	// refused are the commands of batch that were refused for now; aside is how many
	// were for good.
	refused []*refusedKey
	aside   int
	conn    mcconn.Batch
	done    bool // all answers are there
}

// delivery is one connection's worth of delivering: one goroutine sends, another
// receives and acknowledges.
type delivery struct {
	sink    *Sink
	cursor  *batcher.Cursor
	conn    *mcconn.Conn
	command *command
	backoff *backoff.Backoff
	limits  batcher.Limits

	// free has the flights that are not in use; it bounds how many there are.
	free chan *flight
	// until ends the sender's wait for the log when a key has been refused
	// meanwhile. It is the sender's.
	until context.Context //nolint:containedctx // of send, which is on the stack below

	mu sync.Mutex // guards what follows, and sink.refused
	// interrupt ends until.
	interrupt context.CancelFunc
	// order has the log's flights that are not acknowledged, oldest first.
	order []*flight
	// flying counts the refused keys that are in flight again.
	flying int
	// changed is closed and replaced whenever a flight has come back.
	changed chan struct{}
}

func newDelivery(s *Sink, cursor *batcher.Cursor, conn *mcconn.Conn, retry *backoff.Backoff) *delivery {
	d := &delivery{
		sink: s, cursor: cursor, conn: conn, backoff: retry,
		command: newCommand(&s.cfg, conn.Protocol()),
		limits:  batcher.Limits{Linger: s.cfg.Linger, Keys: maxKeys(s.cfg.Rate)},
		// One more than the window is being filled while the window is full.
		free:    make(chan *flight, s.cfg.Window+1),
		changed: make(chan struct{}),
	}
	for range cap(d.free) {
		d.free <- new(flight)
	}
	return d
}

// errLost is why a sender's context ends when the receiver has met the
// connection's end, which it reports itself.
var errLost = errors.New("the connection has ended")

// errEnd says that the cursor has come to the log's end and everything is
// acknowledged. It is not io.EOF, by which a connection says that the peer hung up.
var errEnd = errors.New("everything is acknowledged")

// send fills batches and writes them. It returns errEnd when there is nothing more
// to come.
func (d *delivery) send(ctx context.Context) error {
	encode := d.encode
	d.renew(ctx)
	defer d.hurry()
	for {
		f, err := d.take(ctx)
		if err != nil {
			return err
		}
		if d.until.Err() != nil {
			d.renew(ctx)
		}
		due, wait, full, changed := d.due()
		switch {
		case len(due) > 0:
			if err := d.sendAgain(ctx, f, due); err != nil {
				return err
			}
			continue
		case full:
			// Only what was refused goes out until there is less of it.
			err = errWait
		default:
			err = d.next(ctx, f, wait, encode)
		}
		if errors.Is(err, io.EOF) {
			if err = errWait; d.settled() {
				err = errEnd
			}
		}
		switch {
		case errors.Is(err, errWait):
			d.free <- f
			if err := await(ctx, changed, wait); err != nil {
				return err
			}
			continue
		case errors.Is(err, errDue):
			d.free <- f
			continue
		case err != nil:
			return err
		}
		if empty, err := d.enqueue(f); err != nil {
			return err
		} else if empty {
			continue
		}
		if err := d.throttle(ctx, f.batch.Len()); err != nil {
			return err
		}
		f.conn.Wire, f.conn.N, f.conn.Owner = f.batch.Wire, f.batch.Len(), f
		if err := d.write(ctx, &f.conn); err != nil {
			return err
		}
	}
}

// write sends a batch, and counts it.
func (d *delivery) write(ctx context.Context, b *mcconn.Batch) error {
	c, n := &d.sink.counters, b.N
	c.inFlight.Add(float64(n)) // before its answers can come
	if err := d.conn.Send(ctx, b); err != nil {
		c.inFlight.Sub(float64(n))
		return err
	}
	c.batches.Inc()
	c.sizes.Observe(int64(n), 1)
	return nil
}

// maxKeys is how many keys a batch may have so that the limiter lets it through;
// 0: as many as any.
func maxKeys(r *rate.Limiter) int {
	if r == nil {
		return 0
	}
	return max(1, min(r.Burst(), 1000))
}

// throttle waits until n keys may go out.
func (d *delivery) throttle(ctx context.Context, n int) error {
	if d.sink.cfg.Rate == nil {
		return nil
	}
	return d.sink.cfg.Rate.WaitN(ctx, n)
}

var (
	errWait = errors.New("wait for answers")
	errDue  = errors.New("a refused key has become due")
)

// take waits for a flight that is not in use.
func (d *delivery) take(ctx context.Context) (*flight, error) {
	select {
	case f := <-d.free:
		return f, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// next fills the flight from the log, or fails with errDue when there are refused
// keys to be looked at before there is anything: one is due, or has just been refused.
func (d *delivery) next(ctx context.Context, f *flight, wait time.Duration, encode batcher.Encoder) error {
	f.retry, f.done, f.aside = nil, false, 0
	until := d.until
	if wait > 0 {
		var cancel context.CancelFunc
		until, cancel = context.WithTimeout(until, wait)
		defer cancel()
	}
	err := d.cursor.Next(until, &f.batch, d.limits, encode)
	if err != nil && until.Err() != nil && ctx.Err() == nil {
		return errDue
	}
	return err
}

// renew lets the sender wait for the log until a key is refused from now on. It is
// called before the refused keys are looked at, so that none comes in between.
func (d *delivery) renew(ctx context.Context) {
	until, interrupt := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until, d.interrupt = until, interrupt
}

// hurry ends the sender's wait for the log.
func (d *delivery) hurry() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupt()
}

// refuse queues a key to be tried again, and tells the sender. Its caller holds mu.
func (d *delivery) refuse(k *refusedKey, now time.Time) {
	d.sink.refused.add(k, now)
	d.interrupt()
}

// encode is the batcher.Encoder of this connection.
func (d *delivery) encode(dst []byte, inv *batcher.Invalidation) []byte {
	dst, err := d.command.append(dst, inv.Key)
	if err != nil && !errors.Is(err, errNotHere) {
		d.sink.setKeyAside(inv.Key, err.Error())
	}
	return dst
}

// enqueue notes that the flight awaits its acknowledgement. One without commands
// has all its answers.
func (d *delivery) enqueue(f *flight) (empty bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order = append(d.order, f)
	if f.batch.Len() > 0 {
		return false, nil
	}
	f.done = true
	return true, d.acknowledge()
}

// acknowledge tells the cursor of all flights that are done, in order. Its caller
// holds mu.
func (d *delivery) acknowledge() error {
	for len(d.order) > 0 && d.order[0].done {
		f := d.order[0]
		held, err := d.cursor.Ack(&f.batch, len(f.refused))
		if err != nil {
			return err
		}
		now := time.Now()
		if !d.sink.cfg.Second {
			d.sink.counters.delivered(delayOf(&f.batch), f.batch.Len()-len(f.refused)-f.aside, now.UnixMicro())
		}
		for i, k := range f.refused {
			k.held, k.delay = held, delayOf(&f.batch)
			d.refuse(k, now)
			f.refused[i] = nil
		}
		f.refused = f.refused[:0]
		copy(d.order, d.order[1:])
		d.order = d.order[:len(d.order)-1]
		d.free <- f // it has room for all there are
	}
	d.notify()
	return nil
}

// notify wakes await. Its caller holds mu.
func (d *delivery) notify() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// settled tells whether nothing is in flight nor waits to be tried again.
func (d *delivery) settled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.order) == 0 && d.flying == 0 && len(d.sink.refused) == 0
}

// await waits until a flight has come back since due was asked or, if wait is not 0,
// so long.
func await(ctx context.Context, changed <-chan struct{}, wait time.Duration) error {
	var due <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-changed:
	case <-due:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// due gives refused keys that are to be tried again now, or how long until the
// next is (0: none waits), and whether there are too many for anything else. changed
// is closed when a flight comes back.
func (d *delivery) due() (keys []*refusedKey, wait time.Duration, full bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := &d.sink.refused
	full = len(*q)+d.flying >= d.sink.cfg.RefusedMax
	if len(*q) == 0 {
		return nil, 0, full, d.changed
	}
	const most = 1000
	now := time.Now()
	keys = q.take(most, now)
	d.flying += len(keys)
	if len(*q) > 0 {
		wait = max((*q)[0].due.Sub(now), time.Millisecond)
	}
	return keys, wait, full, d.changed
}

// sendAgain sends keys that were refused before.
func (d *delivery) sendAgain(ctx context.Context, f *flight, keys []*refusedKey) error {
	f.retry, f.done = keys, false
	f.conn.Wire, f.conn.N, f.conn.Owner = f.conn.Wire[:0:0], len(keys), f
	for _, k := range keys {
		f.conn.Wire = append(f.conn.Wire, k.command...)
	}
	d.sink.counters.retried.Add(float64(len(keys)))
	if err := d.write(ctx, &f.conn); err != nil {
		d.putBack(keys)
		return err
	}
	return nil
}

// putBack queues keys whose answers will not come.
func (d *delivery) putBack(keys []*refusedKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flying -= len(keys)
	for _, k := range keys {
		d.sink.refused.again(k)
	}
}

// receive reads answers until the connection ends, and says why it did.
func (d *delivery) receive() error {
	for {
		b, err := d.conn.Receive()
		if err != nil {
			return err
		}
		d.backoff.Reset()
		if err := d.answered(b); err != nil {
			return err
		}
	}
}

// answered takes note of a batch's answers.
func (d *delivery) answered(b *mcconn.Batch) error {
	f, ok := b.Owner.(*flight)
	if !ok {
		return errors.New("a batch came back that was not sent")
	}
	c := &d.sink.counters
	c.inFlight.Sub(float64(b.N))
	c.deleted.Add(float64(b.Deleted))
	c.notFound.Add(float64(b.NotFound))
	d.mu.Lock()
	defer d.mu.Unlock()
	f.done = true
	if f.retry != nil {
		d.answeredAgain(f, b)
		return nil
	}
	for _, r := range b.Refused {
		command := f.batch.Command(r.Index)
		if r.Kind == mcproto.ClientError {
			f.aside++
			d.sink.setKeyAside(d.sink.bare(command), r.Message)
			continue
		}
		d.sink.refusedNow(command, r.Message)
		f.refused = append(f.refused, &refusedKey{command: append([]byte(nil), command...)})
	}
	return d.acknowledge()
}

// answeredAgain takes note of the answers to keys that had been refused before.
// Its caller holds mu.
func (d *delivery) answeredAgain(f *flight, b *mcconn.Batch) {
	refused := b.Refused
	now := time.Now()
	for i, k := range f.retry {
		if len(refused) > 0 && refused[0].Index == i {
			r := refused[0]
			refused = refused[1:]
			if r.Kind != mcproto.ClientError {
				d.sink.counters.refused.Inc()
				d.sink.troubled(k.command, OutcomeRefused, r.Message)
				d.refuse(k, now)
				continue
			}
			d.sink.setKeyAside(d.sink.bare(k.command), r.Message)
		} else {
			d.sink.troubled(k.command, OutcomeTaken, "")
			if !d.sink.cfg.Second {
				d.sink.counters.delivered(k.delay, 1, now.UnixMicro())
			}
		}
		k.held.Resolve(1)
	}
	d.flying -= len(f.retry)
	f.retry = nil
	d.free <- f
	d.notify()
}

// abandon puts back what is in flight when the connection has ended and nobody
// sends or receives any more.
func (d *delivery) abandon() {
	for _, b := range d.conn.Unanswered() {
		d.sink.counters.inFlight.Sub(float64(b.N))
		if f, ok := b.Owner.(*flight); ok && f.retry != nil {
			d.putBack(f.retry)
		}
	}
}
