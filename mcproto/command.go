package mcproto

// Commands that take no argument, whole lines to append to a buffer.
const (
	// CommandNoOp is the meta protocol's "mn". It is answered [NoOp] after
	// everything before it; a peer that does not speak the meta protocol answers
	// [Error] or hangs up.
	CommandNoOp = "mn\r\n"
	// CommandVersion is the text protocol's "version", answered [Version] by every
	// memcached and every router.
	CommandVersion = "version\r\n"
	// CommandFlushAll makes a server forget everything; answered [OK]. Send it to
	// the servers themselves: memcached's proxy closes the connection at it and
	// flushes nothing.
	CommandFlushAll = "flush_all\r\n"
)
