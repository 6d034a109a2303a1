package binlog

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

func TestTheChecksumIsTheLibrarys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		if got, want := checksum(p), crc32.ChecksumIEEE(p); got != want {
			t.Fatalf("checksum of %d bytes is %08x, the library's %08x", len(p), got, want)
		}
	})
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{40, 75, 95, 110, 2000} {
		p := bytes.Repeat([]byte("7"), n)
		for name, sum := range map[string]func([]byte) uint32{"ours": checksum, "library": crc32.ChecksumIEEE} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					sum(p)
				}
			})
		}
	}
}
