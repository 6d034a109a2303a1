package harness

import (
	"io"
	"net/http"
	"testing"
)

// Get asks over HTTP, and leaves no connection behind.
func Get(t *testing.T, url string) (status int, body string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// MustGet is Get of what must answer.
func MustGet(t *testing.T, url string) (status int, body string) {
	t.Helper()
	status, body, err := Get(t, url)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}
