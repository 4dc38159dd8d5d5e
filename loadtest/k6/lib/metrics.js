import { Counter, Rate, Trend } from 'k6/metrics';

// Of the attempts to connect, those that succeeded.
export const connected = new Rate('connected');

// Of the messages sent, those that came back unchanged, in order, and in time.
export const echoed = new Rate('echoed');

// Messages that were no echo of the oldest one outstanding.
export const wrongMessages = new Counter('wrong_messages');

// Of the connections that opened, those that lasted until the client left and
// whose close frame was answered.
export const leftCleanly = new Rate('left_cleanly');

// From sending a message to having its echo, in milliseconds.
export const roundTrip = new Trend('round_trip', true);

// Half of that: an echo goes the same way twice, and k6 reads one clock at both
// ends, so no clocks need to agree.
export const oneWay = new Trend('one_way', true);

// thresholds judges a run, or with a tag such as {scenario:steady} a part of
// it. share is what part of the connections and messages must go well; a
// message that is wrong is never tolerated.
export function thresholds({ p99, connectP99 }, share, tag = '') {
  return {
    [`connected${tag}`]: [`rate>=${share}`],
    [`echoed${tag}`]: [`rate>=${share}`],
    [`left_cleanly${tag}`]: [`rate>=${share}`],
    [`wrong_messages${tag}`]: ['count==0'],
    [`round_trip${tag}`]: [`p(99)<${p99}`],
    [`ws_connecting${tag}`]: [`p(99)<${connectP99}`],
  };
}
