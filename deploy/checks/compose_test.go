package checks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func project(t *testing.T) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"../compose.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeReadsItsFile(t *testing.T) {
	p := project(t)
	for _, name := range []string{"sluice", "backend", "prometheus", "grafana"} {
		if _, ok := p.Services[name]; !ok {
			t.Errorf("no service %s", name)
		}
	}
}

func TestEveryMountedFileIsThere(t *testing.T) {
	p := project(t)
	seen := 0
	exists := func(path string) {
		seen++
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	for _, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				exists(v.Source)
			}
		}
		if s.Build != nil {
			exists(filepath.Join(s.Build.Context, s.Build.Dockerfile))
			exists(filepath.Join(s.Build.Context, "go.mod"))
		}
	}
	for _, c := range p.Configs {
		exists(c.File)
	}
	if seen < 8 {
		t.Errorf("only %d files are mounted", seen)
	}
}

func TestTheGatewayTakesItsConfiguration(t *testing.T) {
	accepted(t, project(t).Configs["sluice"].File)
}

// The demonstration is for one machine: its keys are public.
func TestNothingIsPublishedBeyondLoopback(t *testing.T) {
	for _, s := range project(t).Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", s.Name, port.Published, port.HostIP)
			}
		}
	}
}

func TestTheDrainFitsIntoTheGracePeriod(t *testing.T) {
	const drainTimeout = time.Minute // the default of drain.timeout
	grace := project(t).Services["sluice"].StopGracePeriod
	if grace == nil || time.Duration(*grace) <= drainTimeout {
		t.Errorf("stop_grace_period is %v", grace)
	}
}

func TestImagesHaveTagsThatDoNotMove(t *testing.T) {
	for _, s := range project(t).Services {
		if s.Build == nil && (!strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest")) {
			t.Errorf("%s: image %s", s.Name, s.Image)
		}
	}
}
