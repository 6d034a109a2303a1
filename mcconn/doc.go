// Package mcconn is one pipelined connection to a cache or a router.
//
// In go batches of delete commands, out come the same batches with what the peer
// answered to each command. Several batches are in flight at once; answers are
// matched to their commands by order, which is all the protocols offer, so every
// command must be answered: neither the meta protocol's q nor the text protocol's
// noreply is ever used.
//
// It keeps its part of the promise that nothing is lost: a batch comes back only
// when each of its commands has been answered, and whatever could put an answer
// beside the wrong command (a line nobody asked for, ERROR, silence, an end) ends
// the connection. What had not come back by then is the owner's to send again;
// deletes may be repeated at will.
//
//	        Send                                   Receive
//	batch ──────► window ──► one write ──► peer ──► answers ──► batch
//	      blocks while full                       in order, all of them
//
// The package starts no goroutines. The owner has one that sends and one that
// receives, and ends both with Close.
package mcconn
