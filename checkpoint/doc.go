// Package checkpoint keeps, on disk, how far each cluster has acknowledged. What
// comes in is one position per cluster; what goes out, after any crash, is the
// last set that was saved whole. It keeps the first promise's durable half: a
// position that is read back was saved after every key before it was
// acknowledged, never half of it.
package checkpoint
