package binlog

import (
	"encoding/binary"
	"hash/crc32"
)

// checksum is crc32.ChecksumIEEE, faster for events of a hundred bytes: the
// library takes blocks of 16 bytes by carry-less multiplication and the up to 15
// behind them one by one; here eight of those go at once. BenchmarkChecksum guards
// it.
func checksum(p []byte) uint32 {
	const block = 16
	sum := uint32(0)
	if whole := len(p) &^ (block - 1); whole >= 4*block {
		sum = crc32.ChecksumIEEE(p[:whole])
		p = p[whole:]
	}
	sum = ^sum
	for len(p) >= 8 {
		sum ^= binary.LittleEndian.Uint32(p)
		high := binary.LittleEndian.Uint32(p[4:])
		sum = slices8[7][byte(sum)] ^ slices8[6][byte(sum>>8)] ^ slices8[5][byte(sum>>16)] ^ slices8[4][sum>>24] ^
			slices8[3][byte(high)] ^ slices8[2][byte(high>>8)] ^ slices8[1][byte(high>>16)] ^ slices8[0][high>>24]
		p = p[8:]
	}
	for _, b := range p {
		sum = slices8[0][byte(sum)^b] ^ sum>>8
	}
	return ^sum
}

// slices8 are the tables of slicing by eight (Kounavis and Berry, 2005).
var slices8 = func() (t [8][256]uint32) {
	t[0] = *crc32.IEEETable
	for i := range t[0] {
		sum := t[0][i]
		for j := 1; j < len(t); j++ {
			sum = t[0][byte(sum)] ^ sum>>8
			t[j][i] = sum
		}
	}
	return t
}()
