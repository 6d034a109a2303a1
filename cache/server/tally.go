package server

import (
	"sync"

	"github.com/mcsqueal/mcsqueal/cache"
)

// tally is the counters of one event loop's sessions. Consume holds mu while it works, so
// that counting costs no atomic operation.
type tally struct {
	mu sync.Mutex
	counts
	// request is the meta command at hand.
	request metaRequest
	// key is that of the value at hand.
	key [cache.MaxKey]byte
}

// counts are what stats tells, by memcached's names.
type counts struct {
	cmdGet, cmdSet, cmdFlush, cmdTouch, cmdMeta uint64
	getHits, getMisses                          uint64
	deleteHits, deleteMisses                    uint64
	incrHits, incrMisses, decrHits, decrMisses  uint64
	casHits, casMisses, casBadval               uint64
	touchHits, touchMisses                      uint64
	storeTooLarge, storeNoMemory                uint64
	authCmds, authErrors                        uint64
	bytesRead, bytesWritten                     uint64
	classes                                     [256]classCounts
}

// classCounts are those of a size class, by its number from 1.
type classCounts struct {
	getHits, cmdSet, deleteHits, incrHits, decrHits, casHits, casBadval, touchHits uint64
}

// add adds what another counted.
func (c *counts) add(o *counts) {
	c.cmdGet += o.cmdGet
	c.cmdSet += o.cmdSet
	c.cmdFlush += o.cmdFlush
	c.cmdTouch += o.cmdTouch
	c.cmdMeta += o.cmdMeta
	c.getHits += o.getHits
	c.getMisses += o.getMisses
	c.deleteHits += o.deleteHits
	c.deleteMisses += o.deleteMisses
	c.incrHits += o.incrHits
	c.incrMisses += o.incrMisses
	c.decrHits += o.decrHits
	c.decrMisses += o.decrMisses
	c.casHits += o.casHits
	c.casMisses += o.casMisses
	c.casBadval += o.casBadval
	c.touchHits += o.touchHits
	c.touchMisses += o.touchMisses
	c.storeTooLarge += o.storeTooLarge
	c.storeNoMemory += o.storeNoMemory
	c.authCmds += o.authCmds
	c.authErrors += o.authErrors
	c.bytesRead += o.bytesRead
	c.bytesWritten += o.bytesWritten
	for i := range c.classes {
		a, b := &c.classes[i], &o.classes[i]
		a.getHits += b.getHits
		a.cmdSet += b.cmdSet
		a.deleteHits += b.deleteHits
		a.incrHits += b.incrHits
		a.decrHits += b.decrHits
		a.casHits += b.casHits
		a.casBadval += b.casBadval
		a.touchHits += b.touchHits
	}
}
