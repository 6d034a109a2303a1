//go:build unix && !linux && !race

package cache

// adviseHuge does nothing where the system chooses page sizes by itself.
func adviseHuge([]byte) {}
