package gateway

import (
	"net"
	"strings"
	"testing"

	"sluice/gateway/engine/transport/transporttest"
)

// overTransport is the test that runs others over a transport.
const overTransport = "TestOverATransport"

// isOverTransport reports whether the connections of a test have one.
func isOverTransport(t testing.TB) bool { return strings.HasPrefix(t.Name(), overTransport+"/") }

// What clients and backends see does not depend on what is below HTTP.
func TestOverATransport(t *testing.T) {
	if raceEnabled {
		t.Skip("the same tests run without a transport, and the engine's over one")
	}
	for _, loops := range []string{"1 loop", "4 loops"} {
		t.Run(loops, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T){
				"handshakes":           TestHandshakesAreAnsweredByTheBook,
				"byte by byte":         TestEverythingMayComeByteByByte,
				"heads":                TestRequestHeadHasLimits,
				"no handshake":         TestWhatIsNoHandshakeIsRefusedAtOnce,
				"deflate":              TestDeflateIsUsedBothWaysWhenAgreed,
				"verdicts":             TestFramesBehindTheRequestWaitForTheVerdict,
				"tokens":               TestTokensSayWhoAClientIs,
				"plain HTTP":           TestPlainHTTPIsAnswered,
				"parsers":              TestEveryRequestOfAConnectionMeetsTheSameParser,
				"upgrades second":      TestUpgradeMayComeSecond,
				"upgrades behind":      TestUpgradeBehindAnything,
				"bodies":               TestBodiesAreChargedAsTheyCome,
				"answers not read":     TestAnswersThatAreNotReadEndTheConnection,
				"refusals":             TestRefusedClientIsNotReset,
				"closes":               TestGatewayClosesInEveryState,
				"clients close":        TestClientClosesInEveryState,
				"half closed":          TestHalfClosedClientIsAnsweredToTheEnd,
				"first segment":        TestSessionMayEndInItsFirstSegment,
				"violations":           TestViolationsAreNamedAndEndTheSession,
				"limits":               TestMessagesHaveLimits,
				"parked":               TestParkedSessionFindsWhatArrivedMeanwhile,
				"slow":                 TestClientThatDoesNotReadIsToldSo,
				"stalled":              TestBudgetSeesWhatStalledReadersHold,
				"without buffers":      TestWithoutBuffersOnlyWhatNeedsNoneGoesOn,
				"heaviest":             TestHeaviestQueueIsClosedFirstWhenBuffersRunOut,
				"only sends":           TestClientThatOnlySendsIsHeldBackAndClosed,
				"expiry":               TestMessagesExpire,
				"pushes":               TestPushesArriveInOrderAndBroadcastsReachAHubOnce,
				"actions":              TestActionsChangeSessions,
				"a slow client misses": TestWhatASlowClientMissesIsCounted,
				"close codes":          TestCloseCodeIsCountedOnlyIfItLeft,
				"heartbeat":            TestSilentPeerIsPingedAndDropped,
				"remains":              TestWhatWasSaidBeforeTheEndReachesTheUpstream,
				"what was said":        TestWhatWasSaidBeforeOurCloseReachesTheUpstream,
				"partings":             TestEveryCloseOfOursWaitsForTheAnswer,
				"drain":                TestDrainClosesEverySessionWith1001SpreadOverTheWindow,
				"push in a drain":      TestDrainLetsAPushFinish,
				"panic":                TestPanicEndsOneSessionOnly,
			} {
				t.Run(name, test)
			}
		})
	}
}

// tcp is the socket of a client.
func (p *peer) tcp() *net.TCPConn {
	if c, ok := p.Conn.(*transporttest.Client); ok {
		return c.Conn.Conn.(*net.TCPConn)
	}
	return p.Conn.(*net.TCPConn)
}
