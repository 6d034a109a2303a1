package binlog_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/mcsqueal/mcsqueal/binlog"
)

// packets frames what a server sends: each payload in a packet with the next number,
// and those of more than 16 MiB in several.
func packets(payloads ...[]byte) (stream []byte) {
	const most = 1<<24 - 1
	sequence := byte(1)
	for _, p := range payloads {
		for {
			n := min(len(p), most)
			stream = append(stream, byte(n), byte(n>>8), byte(n>>16), sequence)
			stream = append(stream, p[:n]...)
			p = p[n:]
			sequence++
			if n < most {
				break
			}
		}
	}
	return stream
}

// eventsOf are a log's events, each with the byte in front that says that it is one.
func eventsOf(log []byte) (payloads [][]byte) {
	for at := 4; at < len(log); {
		n := int(binary.LittleEndian.Uint32(log[at+9:]))
		payloads = append(payloads, append([]byte{0}, log[at:at+n]...))
		at += n
	}
	return payloads
}

// nameOf is the event by which a server names the file that follows.
func nameOf(file string) []byte {
	body := append(binary.LittleEndian.AppendUint64(nil, 4), file...)
	p := []byte{0, 0, 0, 0, 0, 4, 1, 0, 0, 0} // time 0, Rotate, server 1
	p = binary.LittleEndian.AppendUint32(p, uint32(19+len(body)))
	p = append(p, 0, 0, 0, 0, 0x20, 0) // made up by the dump's thread
	return append(p, body...)
}

func TestADumpIsReadHoweverItsBytesArrive(t *testing.T) {
	for _, bare := range []bool{false, true} {
		for _, s := range samples(t, bare) {
			stream := packets(append([][]byte{nameOf("bin.000001")}, eventsOf(s.log)...)...)
			for how, r := range map[string]io.Reader{
				"at once":      bytes.NewReader(stream),
				"one by one":   iotest.OneByteReader(bytes.NewReader(stream)),
				"with the end": iotest.DataErrReader(bytes.NewReader(stream)),
			} {
				l := &listener{}
				pos, err := binlog.ReadDump(r, l)
				if err == nil || !slices.Equal(l.ended, s.gtids) || !slices.Equal(l.lines, s.heard) {
					t.Errorf("%s, bare=%v, %s: read %v, want %v; ended with %v", s.name, bare, how, l.ended, s.gtids, err)
				}
				if want := uint64(s.ends[len(s.ends)-1]); pos.Offset < want {
					t.Errorf("%s, bare=%v, %s: the position is %s, want %d at least", s.name, bare, how, pos, want)
				}
			}
		}
	}
}

// FuzzDump reads what a hostile server may send once it was asked for a dump: never a
// panic nor a reading without end, a handler that is told things in order, and no memory
// that what was sent does not back. Framed, it is payloads, each behind its length in
// two bytes, that are put into packets with the right numbers and sizes.
func FuzzDump(f *testing.F) {
	frame := func(payloads [][]byte) (b []byte) {
		for _, p := range payloads {
			b = append(binary.LittleEndian.AppendUint16(b, uint16(len(p))), p...)
		}
		return b
	}
	for _, bare := range []bool{false, true} {
		for _, s := range samples(f, bare) {
			payloads := append([][]byte{nameOf("bin.000001")}, eventsOf(s.log)...)
			f.Add(packets(payloads...), false, false)
			f.Add(frame(payloads), true, true)
			// Another file begins, anywhere; and no event says where it ends.
			unplaced := slices.Clone(payloads)
			if bare {
				for i, p := range payloads {
					unplaced[i] = slices.Clone(p)
					clear(unplaced[i][1+13 : 1+17])
				}
			}
			for i := range payloads {
				f.Add(packets(slices.Insert(slices.Clone(payloads), i, nameOf("bin.000002"))...), false, false)
				f.Add(packets(slices.Insert(slices.Clone(unplaced), i, nameOf("bin.000002"))...), false, false)
			}
		}
	}
	// A statement that claims to be made up, and so to take no room.
	f.Add([]byte("0000000\x020000000000000000000000\x0000\x00\x000"), true, true)
	f.Add(packets([]byte{0xfe, 0, 0, 0, 0}), false, false)                                            // the end
	f.Add(packets([]byte("\xff\xd4\x04#HY000Could not find first log file")), false, false)           // an error
	f.Add(packets([]byte{0xff}), false, false)                                                        // one that says nothing
	f.Add([]byte{0xff, 0xff, 0xff, 1, 0}, false, false)                                               // a packet that does not come
	f.Add(packets(append([]byte{0}, make([]byte, 1<<24)...))[:1<<12], false, true)                    // one that spans packets, cut
	f.Add(frame([][]byte{nameOf("bin.000001"), append([]byte{0}, make([]byte, 19)...)}), true, false) // an event of type 0
	f.Fuzz(func(t *testing.T, stream []byte, framed, wanted bool) {
		const most = 64 << 10
		if len(stream) > most {
			t.Skip("compressed, it may honestly be large")
		}
		if framed {
			var payloads [][]byte
			for len(stream) > 2 {
				n := min(int(binary.LittleEndian.Uint16(stream)), len(stream)-2)
				p := slices.Clone(stream[2 : 2+n])
				if n >= 1+19 {
					p[0] = 0
					binary.LittleEndian.PutUint32(p[1+9:], uint32(n-1))
				}
				payloads, stream = append(payloads, p), stream[2+n:]
			}
			stream = packets(payloads...)
		}
		l := &listener{quiet: true, wanted: wanted}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := binlog.ReadDump(bytes.NewReader(stream), l)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Error("a dump that ends is no reading that is done")
		}
		if l.disorder != "" {
			t.Errorf("the handler was told of %s", l.disorder)
		}
		// What zstd's window and zlib's best ratio allow.
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
			t.Errorf("%d bytes were allocated for %d", used, len(stream))
		}
	})
}
