package mcproto_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcsqueal/mcsqueal/mcproto"
)

func TestValidKeyRefusesEveryByteThatCouldEndAKey(t *testing.T) {
	for _, length := range []int{1, 2, 7, 8, 9, 15, 16, 17, 249, 250} {
		for at := range length {
			for c := range 256 {
				key := bytes.Repeat([]byte{'k'}, length)
				key[at] = byte(c)
				want := c > 0x20 && c != 0x7f
				if got := mcproto.ValidKey(key); got != want {
					t.Fatalf("byte %#02x at %d of %d: got %v", c, at, length, got)
				}
			}
		}
	}
}

func TestValidKeyBoundsTheLength(t *testing.T) {
	for length, want := range map[int]bool{0: false, 1: true, 250: true, 251: false, 1 << 20: false} {
		if got := mcproto.ValidKey(strings.Repeat("k", length)); got != want {
			t.Errorf("%d bytes: got %v", length, got)
		}
	}
}

func TestValidKeyIsTheSameForBytesAndStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.ByteRange('!', '~')), 0, 260).Draw(t, "key")
		want := len(key) >= 1 && len(key) <= mcproto.MaxKey
		for _, c := range key {
			want = want && c > 0x20 && c != 0x7f
		}
		if got := mcproto.ValidKey(key); got != want {
			t.Fatalf("bytes: got %v, want %v", got, want)
		}
		if got := mcproto.ValidKey(string(key)); got != want {
			t.Fatalf("string: got %v, want %v", got, want)
		}
	})
}

func BenchmarkValidKey(b *testing.B) {
	for _, length := range []int{8, 30, 250} {
		key := bytes.Repeat([]byte{'k'}, length)
		b.Run(fmt.Sprintf("%dB", length), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !mcproto.ValidKey(key) {
					b.Fatal("refused")
				}
			}
		})
		text := string(key)
		b.Run(fmt.Sprintf("%dB-string", length), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !mcproto.ValidKey(text) {
					b.Fatal("refused")
				}
			}
		})
	}
}
