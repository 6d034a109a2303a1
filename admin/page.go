package admin

import (
	"embed"
	"net/http"
)

// page is the status page: three files as they are written, which need no building and
// no network. It holds no data: that is asked for, with the token if there is one.
//
//go:embed page
var page embed.FS

// pagePaths are the files by the paths at which they are served.
var pagePaths = []string{"/{$}", "/page.css", "/page.js", "/icon.svg"}

// servePage serves a file of the page.
func servePage(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if name == "/" {
		name = "/index.html"
	}
	http.ServeFileFS(w, r, page, "page"+name)
}
