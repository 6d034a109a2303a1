// Package memcache pushes batches of deletes to memcached routers and servers.
// What comes in is a cursor's batches; what goes out is pipelined commands, a
// window of batches in flight, and back to the cursor an acknowledgement for each
// batch whose every answer was read. It keeps the first promise's last mile:
// nothing is acknowledged that was not answered, what a cache refuses for now is
// tried again for ever, and whatever was in flight on a connection that ended
// goes out again.
package memcache
