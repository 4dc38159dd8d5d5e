import exec from 'k6/execution';
import { WebSocket } from 'k6/websockets';
import { connected, echoed, leftCleanly, oneWay, roundTrip, wrongMessages } from './metrics.js';

// How long a leaving client waits for echoes, and then for the answer to its
// close frame, in milliseconds. The scenarios' gracefulStop covers both.
const patience = 5000;

// Whether this VU, of which each has its own copy of this module, has said in
// the log what went wrong. Metrics count the rest.
let complained = false;

// Client is one connection to a gateway that echoes. The iteration that makes
// it lasts until it is closed.
export class Client {
  // opened(client) is called once the connection stands.
  constructor(url, opened) {
    this.clock = exec.instance;
    this.unanswered = []; // oldest first
    this.open = false;
    this.leaving = false;
    this.ended = false;
    this.timers = [];
    this.socket = new WebSocket(url, null, { tags: { name: withoutSecrets(url) } });
    this.socket.binaryType = 'arraybuffer';
    this.socket.onopen = () => {
      this.open = true;
      connected.add(true);
      opened(this);
    };
    this.socket.onmessage = (event) => this.received(event.data);
    this.socket.onerror = (event) => complain(event.error);
    this.socket.onclose = (event) => this.closed(event.code);
  }

  // send sends a string or an ArrayBuffer, whose echo is then expected.
  send(data) {
    this.unanswered.push({ data, at: this.clock.currentTestRunDuration });
    this.socket.send(data);
  }

  // after calls f in so many milliseconds, unless the client leaves earlier.
  after(milliseconds, f) {
    this.timers.push(setTimeout(f, milliseconds));
  }

  // every calls f at this interval, in milliseconds, until the client leaves.
  every(milliseconds, f) {
    this.timers.push(setInterval(f, milliseconds));
  }

  // leave closes the connection as soon as every echo is there.
  leave() {
    this.leaving = true;
    this.stopTimers();
    if (this.unanswered.length === 0) {
      this.close();
    } else {
      this.after(patience, () => this.close());
    }
  }

  received(data) {
    const now = this.clock.currentTestRunDuration;
    const message = this.unanswered.shift();
    const right = message !== undefined && same(data, message.data);
    if (right) {
      roundTrip.add(now - message.at);
      oneWay.add((now - message.at) / 2);
    } else {
      wrongMessages.add(1);
      complain('a message that is not the echo of what was sent');
    }
    if (message !== undefined) {
      echoed.add(right);
    }
    if (this.leaving && this.unanswered.length === 0) {
      this.close();
    }
  }

  close() {
    this.stopTimers();
    this.socket.close(1000);
    this.after(patience, () => this.end(false, 'no answer to the close frame'));
  }

  closed(code) {
    if (!this.open) {
      this.end(false, 'not connected');
    } else if (this.leaving) {
      this.end(code === 1000, `closed with ${code}`);
    } else {
      this.end(false, `closed with ${code} by the other side`);
    }
  }

  end(cleanly, why) {
    if (this.ended) {
      return;
    }
    this.ended = true;
    this.stopTimers();
    this.unanswered.forEach(() => echoed.add(false));
    if (this.open) {
      leftCleanly.add(cleanly);
    } else {
      connected.add(false);
    }
    if (!cleanly) {
      complain(why);
      setTimeout(() => {}, 500 + 1000 * Math.random()); // before the next iteration: no client hammers
    }
  }

  stopTimers() {
    this.timers.forEach(clearTimeout);
    this.timers = [];
  }
}

// A message of this many characters that no other client sends at this time.
export function message(size) {
  const stamp = `${exec.vu.idInTest}.${exec.instance.currentTestRunDuration}.`;
  return stamp.padEnd(size, 'x').slice(0, size);
}

function same(a, b) {
  if (typeof a === 'string' || typeof b === 'string') {
    return a === b;
  }
  const x = new Uint8Array(a);
  const y = new Uint8Array(b);
  return x.length === y.length && x.every((byte, i) => byte === y[i]);
}

function complain(why) {
  if (!complained) {
    complained = true;
    console.warn(`client ${exec.vu.idInTest}: ${why}`);
  }
}

// A URL may carry a token, and metrics carry the URL.
function withoutSecrets(url) {
  return url.replace(/\/\/[^/]*@/, '//').replace(/\?.*/, '');
}
