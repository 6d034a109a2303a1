// Package pipeline binds the stages into a running daemon: a source is read, keys
// are extracted, gathered in the Log and delivered to every cluster, and how far
// each has acknowledged is kept. What comes in is a source and clusters with their
// sinks; what goes out is deletes, and checkpoints. It keeps the promises that no
// stage can keep alone: a checkpoint is written only of what was acknowledged, a
// cluster that falls behind goes on by itself without delaying another, and a
// reading that cannot go on says so instead of skipping.
//
//	reading (source ─► extract ─► Log ◄─ watermark ◄─ barrier)
//	                               │
//	            lane: cursor ─► sink ─► routers        one for each connection
//	                               │
//	                          checkpointer             the least of a cluster's lanes
package pipeline
