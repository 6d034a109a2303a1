package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// mostLatest and mostFound bound how many invalidations are shown.
	mostLatest = 100
	mostFound  = 100
	// latestEvery is how often the daemon is asked for the last invalidations.
	latestEvery = 500 * time.Millisecond
	// patience is how long a search waits for another to end.
	patience = 3 * time.Second
)

// api answers the page, and who else asks.
type api struct {
	cfg      Config
	recorder *recorder
	// searching has a value while a key is being looked up: one at a time may take a core.
	searching chan struct{}

	mu       sync.Mutex
	last     Memory    // the latest; guarded by mu
	lastAt   time.Time // guarded by mu
	lastFail error     // guarded by mu
}

func (a *api) status(w http.ResponseWriter, _ *http.Request) { answer(w, a.recorder.status()) }

func (a *api) history(w http.ResponseWriter, _ *http.Request) { answer(w, a.recorder.history()) }

// latest serves the last invalidations, as of half a second ago at most.
func (a *api) latest(w http.ResponseWriter, r *http.Request) {
	m, err := a.newest(r.Context())
	if err != nil {
		say(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, m)
}

func (a *api) newest(ctx context.Context) (Memory, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.lastAt) < latestEvery {
		return a.last, a.lastFail
	}
	found, err := a.cfg.Latest(ctx, mostLatest)
	if ctx.Err() != nil {
		return Memory{}, err // whoever asked has gone, and others have not
	}
	a.last, a.lastFail, a.lastAt = Memory{Found: found}, err, time.Now()
	return a.last, err
}

// keys looks keys up.
func (a *api) keys(w http.ResponseWriter, r *http.Request) {
	q := Query{Key: r.URL.Query().Get("key"), Part: r.URL.Query().Get("part") == "1", Most: mostFound}
	if most := r.URL.Query().Get("most"); most != "" {
		n, err := strconv.Atoi(most)
		if err != nil || n < 1 || n > mostFound {
			say(w, http.StatusBadRequest, "most is a number from 1 to "+strconv.Itoa(mostFound))
			return
		}
		q.Most = n
	}
	if q.Key == "" {
		say(w, http.StatusBadRequest, "which key? ?key=KEY, and &part=1 for keys that have it in them")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	select {
	case a.searching <- struct{}{}:
	case <-ctx.Done():
		say(w, http.StatusServiceUnavailable, "others are looking keys up; ask again")
		return
	}
	defer func() { <-a.searching }()
	m, err := a.cfg.Recall(ctx, q)
	if err != nil {
		say(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, m)
}

func (a *api) configuration(w http.ResponseWriter, _ *http.Request) {
	text, err := a.cfg.Configuration()
	if err != nil {
		say(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // whoever asked has gone
}

// answer sends JSON. Nothing in it can end a script or a tag: < and > are escaped.
func answer(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		say(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // whoever asked has gone
}
