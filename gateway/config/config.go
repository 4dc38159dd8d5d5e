// Package config is the gateway's configuration: its settings, their defaults,
// where they come from and what is wrong with them.
//
// [Load] reads a YAML file, lets SLUICE_… variables override it, validates the
// result and reports every problem at once, each with the line or the variable
// it came from. [Default] is what runs without a file. [Config.Changes] tells a
// reload what needs a restart, [Config.Open] what a new installation leaves
// open, and [Reference] documents every key.
//
// The package only reads: it applies nothing, and it knows no socket.
package config

// Config holds every setting of one node. The gateway treats it as read-only
// once it is loaded; a reload makes a new one.
//
// The struct tags are the only list of settings there is: the file's decoder,
// the variables, the range checks and the reference all walk them. "yaml" is the
// key, "min" and "max" the accepted range, "doc" the meaning, reload:"restart"
// marks what a running process cannot change, secret:"true" what must not be
// seen, and secret:"url" a URL of which that is true in part.
type Config struct {
	Listen    string         `yaml:"listen" reload:"restart" doc:"Address for clients and the data plane, as host:port. The host is an IP address, localhost, or empty for all addresses; port 0 takes a free one."`
	Endpoint  string         `yaml:"endpoint" doc:"Base URL under which clients and backends reach the node, as https://ws.example.com, if a proxy stands in front. Tokens may name it, and backends are told it. Empty: http and the address of listen."`
	Hosts     []string       `yaml:"hosts" doc:"Host names and addresses, without a port, that requests on the clients' port may be for, besides that of endpoint; any other is answered 421, /api/health excepted. A foreign page could have its own name lead here (DNS rebinding). Empty: if endpoint is set, its host, localhost and IP addresses; else any."`
	Admin     Admin          `yaml:"admin"`
	Loops     int            `yaml:"loops" min:"0" max:"1024" reload:"restart" doc:"Event loops. 0 takes the measured default for this machine."`
	Heartbeat Heartbeat      `yaml:"heartbeat"`
	Drain     Drain          `yaml:"drain"`
	Keys      []string       `yaml:"keys" secret:"true" doc:"Access keys of every hub that has none of its own: the primary one, which signs, and one more, which is accepted, too. They sign the tokens of clients and of the data plane. At least 16 characters each."`
	APIKeys   []string       `yaml:"api_keys" secret:"true" doc:"Keys that open the data plane as they are, as Authorization: Bearer KEY. At least 16 characters each."`
	Hubs      map[string]Hub `yaml:"hubs"`
	Limits    Limits         `yaml:"limits"`
	Log       Log            `yaml:"log"`
	Trace     Trace          `yaml:"trace"`
}

// Admin is the private listener: metrics, health, profiles and the console.
type Admin struct {
	Listen string   `yaml:"listen" reload:"restart" doc:"Address for metrics, health, profiles and the console; it should not be reachable from outside. Empty or off: no such listener."`
	Hosts  []string `yaml:"hosts" doc:"Host names, without a port, under which browsers may use the console and the profiles besides localhost and IP addresses. Any other name is refused: a foreign page could have its own name lead here (DNS rebinding)."`
}

// Off reports whether there is to be no admin listener.
func (a Admin) Off() bool { return a.Listen == "" || a.Listen == "off" }

// Heartbeat finds clients that are gone without a word.
type Heartbeat struct {
	Interval Duration `yaml:"interval" min:"10ms" max:"24h" doc:"A client that sent nothing for this long is pinged; jittered."`
	Timeout  Duration `yaml:"timeout" min:"10ms" max:"24h" doc:"How long the answer to a ping may take before the connection is dropped. Not longer than heartbeat.interval."`
}

// Drain is how a node leaves service.
type Drain struct {
	Delay   Duration `yaml:"delay" min:"0s" max:"24h" doc:"How long newcomers are answered 503 before the listener closes, so that balancers notice."`
	Window  Duration `yaml:"window" min:"0s" max:"24h" doc:"The closes of the connections are spread over this long, so that the clients do not come back all at once."`
	Timeout Duration `yaml:"timeout" min:"0s" max:"24h" doc:"After this long the process ends whatever is left. At least drain.delay and drain.window together."`
}

// Hub is a namespace of sessions. Its name is its key in Config.Hubs; one that a
// file names has an upstream with the defaults of [DefaultUpstream].
type Hub struct {
	Paths        []string          `yaml:"paths" doc:"Request paths of the hub besides /client/hubs/<name>."`
	Upstream     Upstream          `yaml:"upstream"`
	Keys         []string          `yaml:"keys" secret:"true" doc:"Access keys of this hub, in the place of those of the node."`
	Issuers      map[string]Issuer `yaml:"issuers"`
	Anonymous    bool              `yaml:"anonymous" doc:"Whether clients without a token are accepted, also if the connect event names no user."`
	Expire       bool              `yaml:"expire" doc:"Whether a connection is closed, with 1008, when its client's token expires."`
	Origins      []string          `yaml:"origins" doc:"Origins that browsers may connect from besides the same origin: scheme://host[:port], or * alone for every one."`
	Subprotocols []string          `yaml:"subprotocols" doc:"WebSocket subprotocols the hub speaks."`
	Deflate      bool              `yaml:"deflate" doc:"Whether messages are compressed for clients that offer permessage-deflate (RFC 7692)."`
}

// Upstream is the backend that receives a hub's events.
type Upstream struct {
	URL              string   `yaml:"url" secret:"url" doc:"Where the hub's events go; the scheme picks the protocol: http: and https: are CloudEvents webhooks, with {hub} and {event} filled in, and echo: sends every message back. Required."`
	Events           []string `yaml:"events" doc:"Events that are sent: connect, connected, disconnected, and messages by their names, or * for every message."`
	Timeout          Duration `yaml:"timeout" min:"10ms" max:"10m" doc:"How long one attempt to deliver an event may take."`
	Budget           Duration `yaml:"budget" min:"10ms" max:"1h" doc:"How long an event may take with all its attempts and the waiting for its turn; over it, the connection is closed with 1011 or 1013."`
	ConnectBudget    Duration `yaml:"connect_budget" min:"10ms" max:"10m" doc:"The same for the connect event, over which the client is answered 503."`
	InFlight         int      `yaml:"in_flight" min:"1" max:"10000" doc:"Most requests to the upstream at a time."`
	Waiting          int      `yaml:"waiting" min:"1" max:"10000000" doc:"Most connections with an event that waits for its turn; over it, they are closed with 1013."`
	Farewells        int      `yaml:"farewells" min:"1" max:"10000000" doc:"Most disconnected events that wait for their turn; more are dropped and counted."`
	Response         Size     `yaml:"response" min:"1KiB" max:"1GiB" doc:"Longest answer; a longer one counts as refused."`
	RepeatUnanswered bool     `yaml:"repeat_unanswered" doc:"Whether an event whose answer did not come is sent again, although the upstream may have seen it."`
	RepeatReset      bool     `yaml:"repeat_reset" doc:"Whether an event is sent again that met the end of a kept connection without a byte of an answer. Usually the upstream has not seen it, but it may have."`
	Idle             Duration `yaml:"idle" min:"0s" max:"1h" doc:"How long an unused connection to the upstream is kept at most; less where the upstream announces less (Keep-Alive) or was seen to close sooner. Where it announces nothing, none is used again until one was seen to rest for a second: until then each event takes a connection of its own. 0s: each is used once."`
	PrivateAddresses bool     `yaml:"private_addresses" doc:"Whether the upstream may have an address of a private network or of this host."`
	Validate         bool     `yaml:"validate" doc:"Whether the upstream is asked, by OPTIONS, if it wants events from here before it gets any (CloudEvents webhooks, section 4)."`
	Breaker          Breaker  `yaml:"breaker"`
}

// Breaker keeps a failing upstream from being asked.
type Breaker struct {
	Window   Duration `yaml:"window" min:"1s" max:"1h" doc:"The circuit breaker looks at the attempts of this long."`
	Attempts int      `yaml:"attempts" min:"1" max:"1000000" doc:"It stays closed while there are fewer attempts in the window."`
	Failures int      `yaml:"failures" min:"1" max:"100" doc:"It opens when this share of them has failed, in percent."`
	Probe    Duration `yaml:"probe" min:"10ms" max:"1h" doc:"How long it stays open until one event is tried."`
}

// Issuer is somebody else who signs tokens of clients. Its name, which is its
// key in Hub.Issuers, is for messages only.
type Issuer struct {
	Issuer     string   `yaml:"issuer" doc:"What the tokens' iss claim is. Required."`
	JWKS       string   `yaml:"jwks" doc:"URL of the key set (RFC 7517). Required."`
	Audience   string   `yaml:"audience" doc:"What the tokens' aud claim must contain. Empty: it is not looked at."`
	Algorithms []string `yaml:"algorithms" doc:"Signature algorithms that are accepted, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA. Empty: RS256, ES256 and EdDSA."`
}

// Limits bound what clients can cost. Sizes are in bytes.
type Limits struct {
	Message           Size     `yaml:"message" min:"1" max:"1GiB" doc:"Longest message from a client, also after decompression; a longer one closes the connection with 1009."`
	Fragments         int      `yaml:"fragments" min:"1" max:"1000000" doc:"Most frames of one message; more close the connection with 1008."`
	MessageAge        Duration `yaml:"message_age" min:"10ms" max:"24h" doc:"How long one message may take from its first byte to its last; longer closes the connection with 1008."`
	Connections       int      `yaml:"connections" min:"0" doc:"Most connections at a time; more are answered 503. 0: the descriptor limit less a tenth of it, or less what the node itself (64, and what upstreams may have in flight), newcomers (256 at most) and plain HTTP may take, if that is more. Never more than that."`
	Head              Size     `yaml:"head" min:"256" max:"64KiB" doc:"Longest request head; a longer one is answered 431."`
	Headers           int      `yaml:"headers" min:"1" max:"10000" doc:"Most header fields of a request; more are answered 431."`
	Handshake         Duration `yaml:"handshake" min:"10ms" max:"1h" doc:"How long a request head may take from the accept on; longer is answered 408."`
	PendingHandshakes int      `yaml:"pending_handshakes" min:"1" max:"10000000" doc:"Most handshakes that wait for the upstream or for a key set, of which no hub may take the last ones; more are answered 503. As many connections may be silent, their request not come yet, and as many refused clients may stay: of those the oldest goes."`
	Queue             Size     `yaml:"queue" min:"1KiB" max:"1GiB" doc:"Most bytes waiting for one client to read them; more close the connection with 1013."`
	QueueAge          Duration `yaml:"queue_age" min:"10ms" max:"24h" doc:"How long a byte may wait for its client to read it; longer closes the connection with 1013."`
	ControlRate       int      `yaml:"control_rate" min:"1" max:"1000000" doc:"Pings and pongs a client may send a second in the long run; more close the connection with 1008."`
	ControlBurst      int      `yaml:"control_burst" min:"1" max:"1000000" doc:"Pings and pongs a client may send at once."`
	Close             Duration `yaml:"close" min:"10ms" max:"1h" doc:"How long the answer to a close frame may take before the connection is dropped; and how long a close of the gateway waits for the answer to a message that is at the upstream."`
	Buffered          Size     `yaml:"buffered" min:"0" doc:"Most bytes buffered for all clients together. 0: a quarter of the memory limit."`
	Groups            int      `yaml:"groups" min:"1" max:"65535" doc:"Most groups that one connection can be in."`
	Mailbox           Size     `yaml:"mailbox" min:"2MiB" max:"16GiB" doc:"Most bytes of pushes that wait for one loop; over it, the data plane answers 429."`
	HTTPConnections   int      `yaml:"http_connections" min:"1" max:"1000000" doc:"Most connections that speak plain HTTP to the node at a time; where descriptors are few, a quarter of those of clients. When they are all there, the one that has been idle longest and has shown no valid key makes room."`
}

// Log is what the process writes to standard error.
type Log struct {
	Level  string `yaml:"level" doc:"Least level that is written: debug, info, warn or error."`
	Format string `yaml:"format" reload:"restart" doc:"text, json, or auto: text for a terminal and json otherwise."`
}

// Trace is what is told an OpenTelemetry collector of handshakes and of the
// events of upstreams.
type Trace struct {
	Endpoint string  `yaml:"endpoint" secret:"url" reload:"restart" doc:"URL of a receiver of OpenTelemetry traces (OTLP over HTTP), as http://127.0.0.1:4318; without a path, /v1/traces is meant. Empty: nothing is traced."`
	Sample   float64 `yaml:"sample" min:"0" max:"1" reload:"restart" doc:"Share of the handshakes and events that is traced, and of those traces that a client has begun and wants to be traced."`
}

// Where a node listens that is not told otherwise: on loopback only.
const (
	DefaultListen = "127.0.0.1:" + defaultPort
	DefaultAdmin  = "127.0.0.1:9090"
	defaultPort   = "8080"
)

// Default returns the configuration that runs when there is no file: it echoes
// to anybody, on loopback only. The caller owns it.
func Default() *Config {
	return &Config{
		Listen:    DefaultListen,
		Admin:     Admin{Listen: DefaultAdmin},
		Heartbeat: Heartbeat{Interval: 25 * second, Timeout: 10 * second},
		Drain:     Drain{Delay: 1 * second, Window: 30 * second, Timeout: 60 * second},
		Hubs: map[string]Hub{
			"default": {Paths: []string{"/"}, Upstream: DefaultUpstream("echo:"), Anonymous: true},
		},
		Limits: Limits{
			Message:           1 * MiB,
			Fragments:         1024,
			MessageAge:        30 * second,
			Head:              8 * KiB,
			Headers:           64,
			Handshake:         5 * second,
			PendingHandshakes: 4096,
			Queue:             1 * MiB,
			QueueAge:          30 * second,
			ControlRate:       20,
			ControlBurst:      100,
			Close:             5 * second,
			Groups:            128,
			Mailbox:           16 * MiB,
			HTTPConnections:   1024,
		},
		Log:   Log{Level: "info", Format: "auto"},
		Trace: Trace{Sample: 0.01},
	}
}

// DefaultUpstream has the defaults of an upstream that a file gives a URL.
func DefaultUpstream(url string) Upstream {
	return Upstream{
		URL:              url,
		Events:           []string{"connect", "connected", "disconnected", "*"},
		Timeout:          5 * second,
		Budget:           15 * second,
		ConnectBudget:    8 * second,
		InFlight:         64,
		Waiting:          100_000,
		Farewells:        100_000,
		Idle:             4 * second,
		Response:         1 * MiB,
		PrivateAddresses: true,
		Validate:         true,
		Breaker:          Breaker{Window: 10 * second, Attempts: 20, Failures: 50, Probe: 2 * second},
	}
}

// setDefaults is called before what a file says about a hub is read.
func (h *Hub) setDefaults() { h.Upstream = DefaultUpstream("") }
