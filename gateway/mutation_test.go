package gateway

import (
	"testing"

	"sluice/gateway/mutation"
)

// Each patch in testdata/mutations plants a fault in the loops.
func TestSimulationFindsPlantedFaults(t *testing.T) { mutation.Find(t, 35, 1000) }
