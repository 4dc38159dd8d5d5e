package main

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"
)

func TestEmptyBlocksAreDeflate(t *testing.T) {
	src := append(emptyBlocks(), "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...)
	n, err := io.Copy(io.Discard, flate.NewReader(bytes.NewReader(src)))
	if err != nil || n != 67<<10 {
		t.Fatalf("%d bytes, %v; want %d: what is not DEFLATE costs nobody anything", n, err, 67<<10)
	}
}

func TestFragmentsAreOneMessage(t *testing.T) {
	frames := fragments(3)
	if got, want := len(frames), 3*(2+4+1); got != want {
		t.Fatalf("%d bytes, want %d", got, want)
	}
	if frames[0] != 0x01 || frames[7] != 0x00 || frames[14] != 0x80 {
		t.Fatalf("% x", frames)
	}
}

func TestBystandersAreServedBesideEveryInput(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the gateway")
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{"bystander", "-rounds", "1", "-duration", "200ms", "-strangers", "2"}, nil, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range inputs() {
		row := ""
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "| "+in.what+" |") {
				row = line
			}
		}
		if row == "" {
			t.Errorf("no row for %s in\n%s", in.name, &out)
		}
		if sent := strings.TrimSpace(strings.Split(row, "|")[3]); sent == "" {
			t.Errorf("nothing was sent of %s: the gateway was not even asked", in.name)
		}
	}
}
