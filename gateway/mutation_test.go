package gateway

import (
	"testing"

	"sluice/gateway/mutation"
)

// Each patch in testdata/mutations plants a fault in the loops.
func TestSimulationFindsPlantedFaults(t *testing.T) {
	if raceEnabled {
		t.Skip("the faults are planted in a build of their own, without the detector")
	}
	mutation.Find(t, 20, 200)
}
