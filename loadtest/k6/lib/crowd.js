import exec from 'k6/execution';
import { Client, message } from './client.js';

// Longer than a client's patience with the answers to its last messages and to
// its close frame, and than its pause when they fail to come.
export const gracefulStop = '15s';

// crowd is a scenario of so many clients that come within the first ramp
// seconds, at once if that is 0, and stay together until duration is over. One
// whose connection is lost comes back.
export function crowd({ clients, duration, start = 0, ramp = 0, exec = 'default' }) {
  return {
    executor: 'ramping-vus',
    exec,
    startTime: `${start}s`,
    stages: [
      { duration: `${ramp}s`, target: clients },
      { duration: `${duration - ramp}s`, target: clients },
    ],
    gracefulStop,
    env: { UNTIL: `${start + duration}` },
  };
}

// stay is the iteration of such a client: it sends a message of this size
// every interval seconds, or only as it leaves if that is not finite.
export function stay({ url, size }, interval) {
  new Client(url, (client) => {
    if (Number.isFinite(interval)) {
      const talk = () => client.send(message(size));
      client.after(1000 * interval * Math.random(), () => {
        talk();
        client.every(1000 * interval, talk);
      });
    }
    client.after(timeLeft(), () => {
      if (!Number.isFinite(interval)) {
        client.send(message(size));
      }
      client.leave();
    });
  });
}

// In milliseconds, until the scenario is just over: a VU that leaves then is
// not given another iteration.
function timeLeft() {
  const end = 1000 * Number(__ENV.UNTIL) + 100;
  return Math.max(0, end - exec.instance.currentTestRunDuration);
}
