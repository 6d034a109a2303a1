// Package browser opens pages in a real Chromium, for tests. What comes in is what a
// person would do; what goes out is what they would see. What goes wrong in the page
// fails the test.
package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/mcsqueal/mcsqueal/integration/servers"
)

// Tab is a page that is open.
type Tab struct {
	tb    testing.TB
	ctx   context.Context //nolint:containedctx // of the browser, which ends with the test
	close func()
}

// timeout is how long a test may have a browser, and patience how long a page may take
// to show something.
const (
	timeout  = 5 * time.Minute
	patience = time.Minute
)

// Open starts a browser for a test, which is closed with it. Whatever the page logs, an
// error or what its policy forbids, fails the test, but for what has one of the expected
// texts in it. Where there is no Chromium the test is skipped, or fails: see
// servers.Chromium.
func Open(tb testing.TB, expected ...string) *Tab {
	tb.Helper()
	b := servers.Chromium(tb)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.WSURLReadTimeout(patience), chromedp.ExecPath(b.Path), chromedp.Env(b.Env...), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(b.Profile),
	)
	// The test's own context ends before its cleanups begin.
	ctx, stopBrowser := chromedp.NewExecAllocator(context.WithoutCancel(tb.Context()), options...)
	ctx, stopTab := chromedp.NewContext(ctx, chromedp.WithErrorf(tb.Logf))
	ctx, stop := context.WithTimeout(ctx, timeout)
	t := &Tab{tb: tb, ctx: ctx}
	t.Do() // starts it
	messages := chromedp.Console(ctx)
	var listening sync.WaitGroup
	listening.Go(func() {
	messages:
		for m, err := range messages {
			if err != nil {
				return
			}
			for _, e := range expected {
				if strings.Contains(m.String(), e) {
					continue messages
				}
			}
			tb.Errorf("the page says: %s", m)
		}
	})
	t.close = sync.OnceFunc(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			tb.Errorf("the browser does not close: %v", err)
		}
		stop()
		stopTab()
		stopBrowser()
		listening.Wait()
	})
	tb.Cleanup(t.close)
	return t
}

// Close closes the browser before its test ends: before what the page asks does.
func (t *Tab) Close() { t.close() }

// Do does things, one after the other.
func (t *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	if err := chromedp.Do(t.ctx, steps...); err != nil {
		t.tb.Fatal(err)
	}
}

// Get does something and gives what comes of it.
func Get[T any](t *Tab, a chromedp.Action[T]) T {
	t.tb.Helper()
	v, err := chromedp.Run(t.ctx, a)
	if err != nil {
		t.tb.Fatal(err)
	}
	return v
}

// Look sets the window's width, and whether its reader prefers light or dark.
func (t *Tab) Look(width int64, scheme string) {
	t.tb.Helper()
	if _, err := chromedp.Call(t.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}); err != nil {
		t.tb.Fatal(err)
	}
	t.Do(chromedp.EmulateViewport(width, 900))
}

// Text is what people see of an element.
func (t *Tab) Text(selector string) string {
	t.tb.Helper()
	return Get(t, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)))
}

// Shows waits until an element shows a text.
func (t *Tab) Shows(selector, want string) {
	t.tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		got := t.Text(selector)
		if strings.Contains(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.tb.Fatalf("%s does not show %q but %.1000q", selector, want, got)
		}
	}
}

// Screenshot takes a picture of the whole page, and puts it into the folder that
// MCSQUEAL_SCREENSHOTS names, if it does, to be looked at.
func (t *Tab) Screenshot(name string) {
	t.tb.Helper()
	png := Get(t, chromedp.FullScreenshot(100))
	if len(png) < 10_000 {
		t.tb.Errorf("%s is a picture of %d bytes", name, len(png))
	}
	if dir := os.Getenv("MCSQUEAL_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			t.tb.Fatal(err)
		}
	}
}
