package netpoll

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestElsewhereThanLinuxTheBuildSaysWhatIsMissing(t *testing.T) {
	for _, goos := range []string{"darwin", "windows", "freebsd"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", ".")
		cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: the build succeeded", goos)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != 2 || !strings.HasSuffix(lines[1], "undefined: sluice_needs_linux_epoll_eventfd_timerfd") {
			t.Errorf("%s: the build says\n%s", goos, out)
		}
	}
}
