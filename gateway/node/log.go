package node

import (
	"io"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"golang.org/x/term"

	"sluice/gateway/config"
	"sluice/gateway/doctor"
)

// newLog writes text to a terminal and JSON elsewhere.
func newLog(w io.Writer, cfg *config.Config, level *slog.LevelVar) *slog.Logger {
	level.UnmarshalText([]byte(cfg.Log.Level)) // validated with the rest
	o := &slog.HandlerOptions{Level: level}
	f, isFile := w.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if cfg.Log.Format == "text" || cfg.Log.Format == "auto" && terminal {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// limitMemory lets the Go runtime know what the container or the machine has,
// unless GOMEMLIMIT says otherwise, and returns the limit in bytes.
func limitMemory(log *slog.Logger) int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit != math.MaxInt64 {
		return limit
	}
	total, source := doctor.MemoryLimit(os.DirFS("/"))
	if total <= 0 {
		log.Warn("memory limit unknown, assuming 1 GiB")
		return 1 << 30
	}
	limit = total / 10 * 9
	debug.SetMemoryLimit(limit)
	log.Debug("memory limit", "bytes", limit, "source", source)
	return limit
}
