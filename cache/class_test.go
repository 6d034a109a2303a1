package cache

import "testing"

func TestChunksOfEverySizeOfMemoryLieSideBySide(t *testing.T) {
	for shift := range uint32(10) {
		s := &Store{config: Config{SmallestChunk: 64, Growth: 1.08}, shift: 3 + shift}
		s.makeClasses()
		unit := 1 << s.shift
		for _, c := range s.classes {
			if int(c.units)<<s.shift != c.size || c.perPage < 1 || c.perPage*c.size > pageSize {
				t.Errorf("references count %d bytes: a chunk of %d bytes is %d of them, and %d are in a page", unit, c.size, c.units, c.perPage)
			}
		}
		if c := s.stubClass(headerSize + MaxKey + 2); c.size < headerSize+MaxKey+2 {
			t.Errorf("references count %d bytes: the stub of the longest key has %d", unit, c.size)
		}
	}
}

func TestMemoryBeyondWhatReferencesReachIsRefused(t *testing.T) {
	if s, err := New(Config{Memory: maxMemory + 1}); err == nil {
		t.Error("made", s.Close())
	}
}
