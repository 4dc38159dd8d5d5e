package upstream

import (
	"testing"

	"sluice/gateway/mutation"
)

// Each patch in testdata/mutations plants a fault in what becomes of events.
func TestSimulationFindsPlantedFaults(t *testing.T) { mutation.Find(t, 20, 200) }
