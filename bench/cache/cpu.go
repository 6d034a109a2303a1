package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpuClock counts the processor time of a process or a thread.
type cpuClock int32

// threadClock is the clock of the thread that reads it.
const threadClock = cpuClock(unix.CLOCK_THREAD_CPUTIME_ID)

// processClock is the clock of another process, all its threads together, also those
// that have ended: what /proc/PID/stat has as utime and stime, in nanoseconds instead
// of ticks. (clock_getcpuclockid(3) makes it like this.)
func processClock(pid int) cpuClock {
	const sched = 2
	return cpuClock(^int32(pid)<<3 | sched)
}

func (c cpuClock) read() (nanoseconds int64, err error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(c), &t); err != nil {
		return 0, fmt.Errorf("read the processor time of a process: %w", err)
	}
	return t.Nano(), nil
}

// others measures what processes that have nothing to do with it take of the machine
// meanwhile, and what its host takes.
type others struct {
	at, busy int64
	ours     [2]cpuClock
	spent    int64
}

// watchOthers begins to; ours are the processes that do not count.
func watchOthers(ours ...cpuClock) (*others, error) {
	o := &others{ours: [2]cpuClock(ours), at: clock()}
	var err error
	o.busy, o.spent, err = o.read()
	return o, err
}

func (o *others) read() (busy, spent int64, err error) {
	for _, c := range o.ours {
		n, err := c.read()
		if err != nil {
			return 0, 0, err
		}
		spent += n
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("ask how busy the machine is: %w", err)
	}
	busy, err = busyTicks(string(text))
	const tick = 10_000_000 // USER_HZ is 100 on every Linux that Go knows
	return busy * tick, spent, err
}

// busyTicks are all but the idle ticks of all cores (proc_stat(5)).
func busyTicks(stat string) (int64, error) {
	var user, nice, system, idle, wait, irq, softirq, steal int64
	if _, err := fmt.Sscanf(stat, "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &softirq, &steal); err != nil {
		return 0, fmt.Errorf("ask how busy the machine is: %w", err)
	}
	return user + nice + system + irq + softirq + steal, nil
}

// share is what they took of the cores' time until now.
func (o *others) share() (float64, error) {
	busy, spent, err := o.read()
	if err != nil {
		return 0, err
	}
	theirs := float64(busy - o.busy - (spent - o.spent))
	return max(0, theirs/float64(clock()-o.at)/float64(runtime.NumCPU())), nil
}

// pin keeps all threads of a process, and those they will make, on one core; a
// negative core lets them run on all that the machine has.
func pin(pid, core int) error {
	var set unix.CPUSet
	if core >= 0 {
		set.Set(core)
	} else {
		for i := range 1024 {
			set.Set(i) // the kernel leaves out those that are not there
		}
	}
	// Twice: a thread that was not pinned yet may have made another meanwhile.
	for range 2 {
		threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		if err != nil {
			return fmt.Errorf("pin process %d: %w", pid, err)
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return fmt.Errorf("pin process %d: thread %q: %w", pid, thread.Name(), err)
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin thread %d of process %d to core %d: %w", id, pid, core, err)
			}
		}
	}
	return nil
}

// resident is how much memory of a process is in the machine's, in bytes.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, fmt.Errorf("read how large process %d is: %w", pid, err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, fmt.Errorf("read how large process %d is: %w", pid, err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// available is how much memory the machine can give, in bytes.
func available() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("ask for the machine's memory: %w", err)
	}
	return memAvailable(string(text))
}

func memAvailable(meminfo string) (int64, error) {
	for line := range strings.Lines(meminfo) {
		var kib int64
		if n, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 && err == nil {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("ask for the machine's memory: no MemAvailable: %w", fs.ErrNotExist)
}
