package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// progress says on a terminal what is being done, on a line that the result replaces. Anywhere else
// it is silent.
type progress struct {
	w      io.Writer // nil: silent
	prefix string
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{w: f}
	}
	return &progress{}
}

const clearLine = "\r\x1b[K"

func (p *progress) phase(format string, args ...any) {
	if p.w != nil {
		fmt.Fprintf(p.w, clearLine+p.prefix+format, args...)
	}
}

func (p *progress) clear() {
	if p.w != nil {
		fmt.Fprint(p.w, clearLine)
	}
}
