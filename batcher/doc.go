// Package batcher stands between the reading of the log and the caches. What comes
// in, through one [Writer], is transactions with their keys, streamed into a [Log]
// of bounded size; what goes out, through one [Cursor] for each connection to a
// cache or router, is batches of commands, and for each cursor the position up to
// which everything has been acknowledged.
//
// It carries the first four promises: a position passes a transaction only when
// its end and all its keys have been acknowledged (nothing lost); cursors stop at
// the watermark (nothing early); the writer keeps pace with the fastest cursor, and
// one that is a whole Log behind falls out alone (nobody delayed); the Log's bound
// is a bound, whatever the size of a transaction (flat memory).
//
//	Writer                      Log                          Cursor
//	File Begin Statement   ┌────────┬────────┬──────┐   Next ──► Batch ──► sink
//	Key … Key End Publish ─► chunk  │ chunk  │ chun │            │
//	                       └────────┴────▲───┴──▲───┘   Ack ◄────┘ answers
//	                         acknowledged ┘      │        │
//	                                       watermark      └► Position ──► checkpoint
//
// Goroutines: one writes; any may move the watermark and ask for figures; a cursor
// has one goroutine that takes batches (Next) and one, which may be another, that
// acknowledges them. Nothing here starts a goroutine.
package batcher
