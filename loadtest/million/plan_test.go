package main

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/gateway/config"
)

func TestMarksAscendToAllConnections(t *testing.T) {
	for conns, want := range map[int][]int{
		1:         {1},
		5_000:     {500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000},
		20_000:    {2000, 4000, 6000, 8000, 10000, 12000, 14000, 16000, 18000, 20000},
		1_000_000: {6000, 18000, 100000, 200000, 300000, 400000, 500000, 600000, 700000, 800000, 900000, 1000000},
	} {
		if got := newPlan(conns).marks; !slices.Equal(got, want) {
			t.Errorf("%d: have %v, want %v", conns, got, want)
		}
	}
}

func TestGatewayTakesTheConfigurations(t *testing.T) {
	for _, conns := range []int{1, 1_000_000, mostConns} {
		p := newPlan(conns)
		c := configuration(p)
		if err := c.Validate(); err != nil {
			t.Errorf("%d connections: %v", conns, err)
		}
		c.Heartbeat = heartbeat(p.beat)
		if err := c.Validate(); err != nil {
			t.Errorf("%d connections, short heartbeat: %v", conns, err)
		}
	}
}

func TestTriesGoOnUntilPatienceIsSpentOnThem(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		succeeds int // the try that does
		want     error
	}{{1, nil}, {3, nil}, {4, refused}} {
		tries := 0
		err := until(100*time.Millisecond, func() error {
			if tries++; tries == 1 {
				time.Sleep(300 * time.Millisecond) // which nobody waits
			}
			if tries < tt.succeeds {
				return refused
			}
			return nil
		})
		if err != tt.want || tries != min(tt.succeeds, 3) {
			t.Errorf("%v after %d tries, want %v", err, tries, tt.want)
		}
	}
}

func TestCommandLineMistakesAreExplained(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"now"}, `unexpected argument "now"`},
		{[]string{"-conns", "0"}, "-conns must be from 1 to 6350000"},
		{[]string{"-conns", "6350001"}, "-conns must be from 1 to 6350000"},
		{[]string{"-mem", "1000000000"}, "the guest wants 1000000000 MiB of memory"},
	} {
		var out strings.Builder
		if err := run(t.Context(), tt.args, &out, &out); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestMissingProgramsAreNamedWithTheirPackages(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := missing(1)
	for _, want := range []string{"linux.uml is missing: apt-get install user-mode-linux", "gcc is missing: apt-get install gcc libc6-dev"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestClientsSpreadOverAddresses(t *testing.T) {
	address := loopback(int(clientPort))
	for i, want := range map[int]byte{0: 1, perAddress - 1: 1, perAddress: 2, mostConns - 1: 254} {
		if to := address(i); to.Addr != [4]byte{127, 0, 0, want} || to.Port != int(clientPort) {
			t.Errorf("client %d goes to %v", i, *to)
		}
	}
}

func TestConfigurationIsReadBackWithItsKey(t *testing.T) {
	g := &gateway{config: configuration(newPlan(1000)), file: filepath.Join(t.TempDir(), "sluice.yaml")}
	if err := g.writeConfig(); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(g.file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, g.config) {
		t.Errorf("%+v, want %+v", c, g.config)
	}
}
