package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mcsqueal/mcsqueal/integration/process"
)

// daemon is `mcsqueal run`, started again whenever it ends, as a service manager
// does, save while it is meant to be down. What it does of itself that it must not
// do goes to the chronicle.
type daemon struct {
	program, config string
	state           string // its state_dir
	chronicle       *chronicle
	// excused tells whether the source cannot be reached just now, so that a start may
	// fail.
	excused   func() bool
	logFiles  func() ([]string, error) // the source's
	forgetful bool
	log       *os.File

	mu sync.Mutex // guards what follows
	// proc is the one that runs, or ran last.
	proc *child
	down bool // it is meant not to run
	// runs counts the times that it has come so far as to tail.
	runs    int
	tailing chan struct{} // closed and replaced when it does
	parked  bool          // it has ended with nothing left to do but somebody's decision
	starts  int
	refused int // starts that failed since the source could not be reached
	met     map[string]int
	watcher sync.WaitGroup
}

// experiences are what the daemon may meet, by how it says so: they tell whether a
// torture was one.
var experiences = []struct{ name, says string }{
	{"source lost", `msg="the source is lost`},
	{"router lost", `msg="router lost`},
	{"server lost", `msg="server lost`},
	{"a key refused", `msg="key refused for now`},
	{"fell out of the Log", `msg="a whole Log behind`},
	{"caught up and joined again", `msg="caught up; joining`},
	{"dump closed for a full Log", `msg="the Log is full`},
	{"stopped with keys undelivered", `msg="stopping with keys undelivered`},
	{"changed over to another configuration", `msg="the new configuration is at work`},
	{"refused to change over", `msg="the new configuration is refused`},
}

// child is one run of the daemon.
type child struct {
	*process.Process
	daemon *daemon

	mu       sync.Mutex // guards what follows
	line     []byte
	met      map[string]int
	tailed   bool
	expected bool // its end is wanted
}

func newDaemon(program, dir string, c *chronicle) (*daemon, error) {
	log, err := os.Create(filepath.Join(dir, "mcsqueal.log"))
	if err != nil {
		return nil, fmt.Errorf("make a file for what mcsqueal says: %w", err)
	}
	return &daemon{
		program: program, config: filepath.Join(dir, "mcsqueal.yaml"), state: filepath.Join(dir, "state"),
		chronicle: c, log: log, tailing: make(chan struct{}), met: make(map[string]int), excused: func() bool { return false },
	}, nil
}

// start starts it, and sees to it that it runs until it is told otherwise.
func (d *daemon) start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = false
	return d.launch()
}

// launch starts a process. mu is held.
func (d *daemon) launch() error {
	if d.forgetful && d.starts > 0 {
		if err := os.RemoveAll(d.state); err != nil {
			return fmt.Errorf("forget where mcsqueal was: %w", err)
		}
	}
	cmd := exec.Command(d.program, "run", "--config", d.config)
	p := &child{daemon: d, met: make(map[string]int)}
	cmd.Stdout, cmd.Stderr = p, p
	cmd.Env = append(os.Environ(), "MCSQUEAL_PASSWORD="+password, "GORACE=halt_on_error=1", "GOTRACEBACK=all")
	var err error
	if p.Process, err = process.Start(cmd); err != nil {
		return fmt.Errorf("start mcsqueal: %w", err)
	}
	d.proc = p
	d.starts++
	d.say("started as process %d%s", p.Pid(), d.saved())
	d.watcher.Go(func() { d.watch(p) })
	return nil
}

// saved is the checkpoint that it starts with, for whoever reads its log.
func (d *daemon) saved() string {
	text, err := os.ReadFile(d.checkpoint())
	if err != nil {
		return ""
	}
	return " with " + strings.Join(strings.Fields(string(text)), " ")
}

func (d *daemon) checkpoint() string { return filepath.Join(d.state, "checkpoint.json") }

// watch waits for the end of a process, judges it if nobody wanted it, and starts
// the next.
func (d *daemon) watch(p *child) {
	<-p.Done()
	d.say("process %d has ended: status %d", p.Pid(), p.Status())
	p.mu.Lock()
	expected, tailed := p.expected, p.tailed
	p.mu.Unlock()
	d.mu.Lock()
	for name, n := range p.met { // nobody adds to it any more
		d.met[name] += n
	}
	if expected {
		d.mu.Unlock()
		return
	}
	undecided := false
	switch words := d.lastWords(); {
	case p.Status() == 1 && !tailed && d.excused():
		d.refused++
	default:
		if p.Status() == exitGap {
			var err error
			if undecided, err = traceless(words, d.logFiles); err != nil {
				d.chronicle.find("look for XA transactions in the log: %v", err)
			}
		}
		if !undecided {
			d.chronicle.find("mcsqueal has ended by itself, with status %d%s", p.Status(), words)
		}
	}
	d.parked = p.Status() == exitGap && !undecided
	d.mu.Unlock()
	<-time.After(200 * time.Millisecond)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down || d.parked || d.proc != p {
		return
	}
	if err := d.launch(); err != nil {
		d.chronicle.find("%v", err)
	}
}

// history is how often it was started, in vain, and what it met. It has ended.
func (d *daemon) history() (starts, refused int, met map[string]int) {
	d.watcher.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.starts, d.refused, d.met
}

// exitGap is its status when every cluster waits for a decision about a gap.
const exitGap = 3

// waits tells whether it has ended so.
func (d *daemon) waits() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.parked
}

// lastWords is the reason that it gave, if it did.
func (d *daemon) lastWords() string {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return ": " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text[max(0, len(text)-32<<10):])), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "mcsqueal: ") || strings.HasPrefix(lines[i], "panic: ") {
			return ": " + strings.Join(lines[i:min(i+2, len(lines))], " ")
		}
	}
	return ""
}

// say writes a line of ours into the daemon's log.
func (d *daemon) say(format string, args ...any) {
	fmt.Fprintf(d.log, "--- %s torture: %s\n", time.Now().Format("2006-01-02T15:04:05.000"), fmt.Sprintf(format, args...))
}

// Write takes what the process says.
func (p *child) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = append(p.line, text...)
	for {
		line, rest, whole := bytes.Cut(p.line, []byte("\n"))
		if !whole {
			break
		}
		p.read(string(line))
		p.line = rest
	}
	return p.daemon.log.Write(text)
}

// read looks at a line. mu is held.
func (p *child) read(line string) {
	if strings.Contains(line, "msg=tailing") {
		p.tailed = true
		// Whoever holds the daemon's mu may be waiting for this process's end.
		go p.daemon.cameTo()
	}
	for _, e := range experiences {
		if strings.Contains(line, e.says) {
			p.met[e.name]++
		}
	}
	for _, word := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if strings.Contains(line, word) {
			p.daemon.chronicle.find("mcsqueal said: %s", line)
		}
	}
}

func (d *daemon) cameTo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs++
	close(d.tailing)
	d.tailing = make(chan struct{})
}

// run is the number of the present run: how often it has come so far as to tail.
func (d *daemon) run() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.runs
}

// waitTailing waits until it tails for the first time.
func (d *daemon) waitTailing(ctx context.Context) error {
	d.mu.Lock()
	tailing, ended, runs := d.tailing, d.proc.Done(), d.runs
	d.mu.Unlock()
	if runs > 0 {
		return nil
	}
	select {
	case <-tailing:
		return nil
	case <-ended:
		return fmt.Errorf("mcsqueal has not begun%s", d.lastWords())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end makes the process's end expected and gives the process, which may have ended.
func (d *daemon) end() *child {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = true
	d.proc.mu.Lock()
	defer d.proc.mu.Unlock()
	d.proc.expected = true
	return d.proc
}

// kill ends it without a warning.
func (d *daemon) kill() error { return d.end().Kill() }

// stop ends it as a service manager does, and holds it to a clean end.
func (d *daemon) stop(patience time.Duration) error {
	p := d.end()
	if p.Ended() {
		return nil // it was about to be started again
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.Status() != 0 && (p.tailed || !d.excused()) {
			d.chronicle.find("mcsqueal has ended with status %d after SIGTERM%s", p.Status(), d.lastWords())
		}
		return nil
	case <-time.After(patience):
		d.chronicle.find("mcsqueal has not ended within %v of SIGTERM; where its goroutines stood is in its log", patience)
		d.dumpStacks()
		return d.kill()
	}
}

// freeze stops it where it stands; thaw lets it go on.
func (d *daemon) freeze() error { return d.current().Freeze() }
func (d *daemon) thaw() error   { return d.current().Thaw() }

// reload has it read its configuration again, which has not changed: it begins anew
// within the process, wherever it is. One that does not tail yet is let be.
func (d *daemon) reload() error {
	p := d.current()
	p.mu.Lock()
	tailed := p.tailed
	p.mu.Unlock()
	if !tailed {
		return nil
	}
	return p.Signal(syscall.SIGHUP)
}

func (d *daemon) current() *child {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.proc
}

// dumpStacks makes it write where its goroutines stand, and end.
func (d *daemon) dumpStacks() {
	p := d.end()
	if err := p.Signal(syscall.SIGQUIT); err != nil {
		d.chronicle.find("%v", err)
		return
	}
	select {
	case <-p.Done():
		return
	case <-time.After(10 * time.Second):
	}
	if err := d.kill(); err != nil {
		d.chronicle.find("%v", err)
	}
}

// close ends it for good.
func (d *daemon) close() error {
	d.mu.Lock()
	started := d.proc != nil
	d.mu.Unlock()
	var err error
	if started {
		err = d.kill()
		d.watcher.Wait()
	}
	return errors.Join(err, d.log.Close())
}
