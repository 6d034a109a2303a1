package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pace calls do n times, one interval apart, as exactly as the kernel wakes a
// thread: Go's own timers come up to a millisecond late, and all that came due
// meanwhile would come at once. When it is late it catches up.
func pace(ctx context.Context, n int, interval time.Duration, do func(i int) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel wakes threads up to 50 µs late to save power, unless told not to.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("ask for exact timers: %w", err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }() // 0: the default again
	var start unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &start); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	for i := range n {
		at := unix.NsecToTimespec(start.Nano() + int64(i)*interval.Nanoseconds())
		for {
			err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil)
			if err == nil {
				break
			}
			if err != unix.EINTR {
				return fmt.Errorf("wait: %w", err)
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}
