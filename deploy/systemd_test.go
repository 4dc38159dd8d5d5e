package deploy_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/gatewaytest"
)

// units copies the units to where the program is the one that was built, and
// returns their paths.
func units(t *testing.T) (service, socket string) {
	t.Helper()
	folder := t.TempDir()
	text := strings.ReplaceAll(read(t, "systemd/sluice.service"), "/usr/local/bin/sluice", gatewaytest.Program(t, "sluice"))
	return write(t, filepath.Join(folder, "sluice.service"), text),
		write(t, filepath.Join(folder, "sluice.socket"), read(t, "systemd/sluice.socket"))
}

func TestSystemdTakesTheUnits(t *testing.T) {
	analyze := gatewaytest.Program(t, "systemd-analyze")
	service, socket := units(t)
	output, err := exec.Command(analyze, "verify", "--man=no", service, socket).CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "sluice.") { // and not what it finds in the host's own units
			t.Error(line)
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestTheServiceIsExposedToLittle(t *testing.T) {
	service, _ := units(t)
	must(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", service) // tenths
}

// setting is the last value of a directive.
func setting(t *testing.T, unit, name string) string {
	t.Helper()
	all := regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(read(t, unit), -1)
	if len(all) == 0 {
		t.Fatalf("%s has no %s", unit, name)
	}
	return all[len(all)-1][1]
}

func TestTheServiceWaitsForTheWholeDrain(t *testing.T) {
	stop, err := time.ParseDuration(setting(t, "systemd/sluice.service", "TimeoutStopSec"))
	if drain := time.Duration(config.Default().Drain.Timeout); err != nil || stop <= drain {
		t.Errorf("TimeoutStopSec is %v (%v), drain.timeout %v", stop, err, drain)
	}
}

// The statuses that the command promises are those that the unit relies on.
func TestAWrongConfigurationEndsWithTheStatusThatIsNotTriedAgain(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "sluice.yaml"), "listen: nowhere\n")
	cmd := exec.Command("sluice", "-config", file)
	cmd.Run()
	if status := cmd.ProcessState.String(); status != "exit status "+setting(t, "systemd/sluice.service", "RestartPreventExitStatus") {
		t.Error(status)
	}
}

// The unit is Type=notify and has a watchdog.
func TestTheServiceTellsSystemdHowItFares(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told := func(state string) {
		t.Helper()
		gatewaytest.Eventually(t, state, func() bool {
			buffer := make([]byte, 512)
			if err := manager.SetReadDeadline(time.Now().Add(gatewaytest.Patience)); err != nil {
				t.Fatal(err)
			}
			n, err := manager.Read(buffer)
			if err != nil {
				t.Fatalf("%s: %v", state, err)
			}
			return strings.HasPrefix(string(buffer[:n]), state)
		})
	}
	g := gatewaytest.Launch(t, "drain: {delay: 0s, window: 0s}", func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+name, "WATCHDOG_USEC=200000")
	})
	told("READY=1")
	told("WATCHDOG=1")
	told("WATCHDOG=1")
	for _, step := range []struct {
		signal os.Signal
		states []string
	}{{syscall.SIGHUP, []string{"RELOADING=1\nMONOTONIC_USEC=", "READY=1"}}, {syscall.SIGTERM, []string{"STOPPING=1"}}} {
		g.Signal(t, step.signal)
		for _, state := range step.states {
			told(state)
		}
	}
}

func TestEveryKernelSettingIsExplained(t *testing.T) {
	text := read(t, "docs/kernel.md")
	keys := regexp.MustCompile(`(?m)^-?([a-z0-9_.]+) = \d+( \d+)*$`).FindAllStringSubmatch(read(t, "systemd/60-sluice.sysctl.conf"), -1)
	if len(keys) < 10 {
		t.Fatalf("only %d settings", len(keys))
	}
	for _, key := range keys {
		last := key[1][strings.LastIndex(key[1], ".")+1:]
		if !strings.Contains(text, last+"`") {
			t.Errorf("docs/kernel.md does not say why %s is set", key[1])
		}
	}
	for line := range strings.Lines(read(t, "systemd/60-sluice.sysctl.conf")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && !strings.Contains(line, " = ") {
			t.Errorf("no setting: %s", line)
		}
	}
}

func TestTheUserExistsBeforeTheServiceNeedsIt(t *testing.T) {
	user := setting(t, "systemd/sluice.service", "User")
	text := read(t, "systemd/sluice.sysusers.conf")
	if !regexp.MustCompile(`(?m)^u ` + user + ` `).MatchString(text) {
		t.Errorf("sysusers does not make %s", user)
	}
}
