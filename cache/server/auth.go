package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
)

// authenticator knows who may come in: the users of memcached's authentication file, a
// line each, user:password. Until a session has said
//
//	set KEY FLAGS EXPTIME BYTES\r\nuser password\r\n
//
// with one of them, it gets nothing else. The key means nothing.
type authenticator struct {
	file string

	mu    sync.RWMutex
	users []user // guarded by mu
}

// user is a line of the file, hashed so that a comparison takes as long whatever is
// compared.
type user struct{ name, password [sha256.Size]byte }

// maxUsers and maxUserLine are memcached's bounds. It cuts what is beyond in silence;
// here that is an error.
const (
	maxUsers    = 8
	maxUserLine = 255
)

func newAuthenticator(file string) (*authenticator, error) {
	a := &authenticator{file: file}
	return a, a.load()
}

// load reads the file again; when it cannot, who was let in before still is.
func (a *authenticator) load() error {
	text, err := os.ReadFile(a.file)
	if err != nil {
		return fmt.Errorf("read the authentication file: %w", err)
	}
	var users []user
	for i, line := range bytes.Split(bytes.TrimRight(text, "\r\n"), []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		name, password, ok := bytes.Cut(line, []byte(":"))
		switch {
		case !ok:
			return fmt.Errorf("read the authentication file %s: line %d has no colon; each is to be user:password", a.file, i+1)
		case len(line) > maxUserLine:
			return fmt.Errorf("read the authentication file %s: line %d is longer than %d bytes", a.file, i+1, maxUserLine)
		case len(users) == maxUsers:
			return fmt.Errorf("read the authentication file %s: there are more than %d users", a.file, maxUsers)
		}
		users = append(users, user{sha256.Sum256(name), sha256.Sum256(password)})
	}
	a.mu.Lock()
	a.users = users
	a.mu.Unlock()
	return nil
}

// knows reports whether somebody has that name and that password.
func (a *authenticator) knows(name, password []byte) bool {
	n, p := sha256.Sum256(name), sha256.Sum256(password)
	a.mu.RLock()
	defer a.mu.RUnlock()
	found := 0
	for i := range a.users {
		found |= subtle.ConstantTimeCompare(n[:], a.users[i].name[:]) & subtle.ConstantTimeCompare(p[:], a.users[i].password[:])
	}
	return found == 1
}

// maxAuthLine is how much may come before the first line's end, and maxAuthToken how
// long "user password" may be.
const (
	minAuthLine  = 6
	maxAuthLine  = 2048
	maxAuthToken = 16384
)

// errAuthJunk says that what was sent is nothing like a command: the connection is
// closed without an answer.
var errAuthJunk = errors.New("not a command")

// login is how far one session has come with saying who it is. The zero value is at the
// beginning.
type login struct {
	// awaited is how long "user password\r\n" will be, once its line has been read.
	awaited int
	done    bool
}

// loginSize is how long the first line of an attempt says that "user password" is.
func loginSize(line []byte) (size int, ok bool) {
	words := bytes.Fields(line)
	if len(words) < 5 || !bytes.HasPrefix(line, []byte("set")) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(words[4]), 10, 32)
	return int(n), err == nil
}

// step takes one attempt from the head of in and returns how many bytes it took, and the
// answer's line without its end; none when more bytes are needed. When l.done, the
// session goes on with its own commands.
func (a *authenticator) step(l *login, in []byte) (n int, answer string, err error) {
	if l.awaited == 0 {
		end := bytes.IndexByte(in, '\n')
		switch {
		case end < 0 && len(in) > maxAuthLine, end >= 0 && end < minAuthLine:
			return 0, "", errAuthJunk
		case end < 0:
			return 0, "", nil
		}
		n = end + 1
		size, ok := loginSize(in[:end])
		switch {
		case !ok:
			return n, "CLIENT_ERROR unauthenticated", nil
		case size > maxAuthToken:
			return n, "CLIENT_ERROR auth token too long", nil
		}
		l.awaited = size + 2
	}
	if len(in)-n < l.awaited {
		return n, "", nil
	}
	token := in[n : n+l.awaited]
	n += l.awaited
	l.awaited = 0
	token, ok := bytes.CutSuffix(token, []byte("\r\n"))
	if !ok {
		return n, "CLIENT_ERROR bad command line termination", nil
	}
	name, password, ok := bytes.Cut(token, []byte(" "))
	if !ok {
		return n, "CLIENT_ERROR bad authentication token format", nil
	}
	if !a.knows(name, password) {
		return n, "CLIENT_ERROR authentication failure", nil
	}
	l.done = true
	return n, "STORED", nil
}
